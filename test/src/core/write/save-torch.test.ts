/** saveTorch: torch's archive byte for byte, torch's pickle opcode for opcode where it matters. */
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { compileLimits, DTYPES, OpaqueValue, StateDict, Storage, saveTorch, Tensor } from "@rankcast/core";
import {
  buildManifest,
  FileSink,
  memorySource,
  noSiblings,
  openFile,
  openZip,
  planTorch,
  readCheckpoint,
  resolved,
  ZipWriter,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.js";
import { fixtureBytes } from "../../support/fixtures.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { materialise } from "../format/sources.ts";

const limits = compileLimits();

function tensorOf(values: number[], shape: readonly number[] = [values.length]): Tensor {
  return Tensor.from(Float32Array.from(values), shape);
}

describe("saveTorch", () => {
  const directory = temporaryDirectory();
  const target = () => join(directory(), "model.v2.pt");

  async function zipTo(path: string, write: (zip: ZipWriter) => Promise<void>, folder = "archive"): Promise<void> {
    const file = await open(path, "w");
    const sink = new FileSink(file);
    const zip = new ZipWriter(sink, folder);
    await write(zip);
    await zip.finish();
    await sink.flush();
    await file.close();
  }

  for (const name of ["state_dict_t213", "order12_t213", "empty_t213"]) {
    it(`writes the archive of ${name} byte for byte from its records`, async () => {
      const theirs = fixtureBytes(`accepted/torch-zip/${name}.pt`);
      const container = await openZip(memorySource(theirs), { limits });
      const folder = [...container.entries.keys()][0]?.split("/")[0] ?? "";
      await zipTo(
        target(),
        async (zip) => {
          for (const entry of container.entries.values())
            await zip.addBytes(entry.name.slice(folder.length + 1), await container.read(entry));
        },
        folder,
      );
      expect(Buffer.compare(await readFile(target()), theirs)).to.equal(0);
    });
  }

  it("is read back with every dtype, stride, offset, alias, flag and module version", async () => {
    const dtypes = [...DTYPES.values()].filter(({ kind, bits }) => kind !== "quantised" && bits % 8 === 0).map(({ name }) => name);
    const view = fc.record({
      dtype: fc.constantFrom(...dtypes),
      storage: fc.nat(3),
      shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
      steps: fc.array(fc.nat(4), { minLength: 3, maxLength: 3 }),
      offset: fc.nat(5),
      neg: fc.boolean(),
      requiresGrad: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), view, { maxKeys: 8 }), async (drafts) => {
        const storages = [1024, 1024, 1024, 1021].map((nbytes, seed) => {
          const storage = Storage.allocate(nbytes);
          storage.bytes().forEach((_, at, bytes) => {
            bytes[at] = (at * 31 + seed) % 127;
          });
          return storage;
        });
        const stateDict = new StateDict();
        for (const [name, { dtype, storage, shape, steps, offset, neg, requiresGrad }] of Object.entries(drafts)) {
          const numeric = /^(float(16|32|64)|bfloat16|complex(64|128))$/.test(dtype);
          stateDict.set(
            name,
            new Tensor({
              dtype,
              shape,
              stride: steps.slice(0, shape.length),
              storageOffset: offset,
              storage: storages[storage] as Storage,
              neg: neg && numeric,
              conj: neg && dtype.startsWith("complex") && numeric,
              requiresGrad,
            }),
          );
        }
        stateDict.metadata.set("", { version: 1 }).set("bn", { version: 2 });
        await saveTorch(target(), stateDict);
        const bytes = await readFile(target());
        const tree = await readCheckpoint(resolved("x", memorySource(bytes), noSiblings("x")), { limits });
        const found = await materialise(tree);
        expect([...found.keys()]).to.deep.equal([...stateDict.keys()]);
        const places = new Map<Storage, Storage>();
        for (const [name, tensor] of stateDict) {
          const read = found.get(name) as Tensor;
          for (const field of ["dtype", "shape", "stride", "storageOffset", "conj", "neg", "requiresGrad"] as const)
            expect(read[field], `${name} ${field}`).to.deep.equal(tensor[field]);
          expect(Buffer.compare(read.storage.bytes(), tensor.storage.bytes())).to.equal(0);
          expect(places.get(tensor.storage) ?? read.storage).to.equal(read.storage);
          places.set(tensor.storage, read.storage);
        }
        expect(new Set(places.values()).size).to.equal(places.size);
        expect(buildManifest(tree, { limits }).metadataModules).to.deep.equal([
          ["", { version: 1 }],
          ["bn", { version: 2 }],
        ]);
      }),
      { numRuns: 100 },
    );
  });

  it("writes torch's records in torch's order, payloads on multiples of 64", async () => {
    const shared = tensorOf([1, 2, 3, 4]);
    const report = await saveTorch(
      target(),
      new Map([
        ["a", shared],
        ["b", tensorOf([], [0])],
        ["c", new Tensor({ dtype: "float32", shape: [2], storageOffset: 1, storage: shared.storage })],
      ]),
    );
    expect(report.bytes).to.equal((await stat(target())).size);
    const source = await openFile(target());
    const container = await openZip(source, { limits });
    const records = [...container.entries.values()];
    expect(records.map(({ name, nbytes }) => [name, nbytes])).to.deep.equal([
      ["model.v2/data.pkl", records[0]?.nbytes],
      ["model.v2/.format_version", 1],
      ["model.v2/.storage_alignment", 2],
      ["model.v2/byteorder", 6],
      ["model.v2/data/0", 16],
      ["model.v2/data/1", 0],
      ["model.v2/version", 2],
      ["model.v2/.data/serialization_id", 40],
    ]);
    for (const record of records) {
      expect(record.offset % 64, record.name).to.equal(0);
      expect(record.crc32 ?? 0, record.name).to.equal(crc32(await container.read(record)));
    }
    const text = async (index: number) => Buffer.from(await container.read(records[index] as (typeof records)[0])).toString();
    expect([await text(1), await text(2), await text(3), await text(6)]).to.deep.equal(["1", "64", "little", "3\n"]);
    expect(await text(7)).to.match(/^\d{40}$/);
    await source.close();
  });

  it("pickles a state dict in protocol 2, with names torch's restricted reader knows", () => {
    const stateDict = new StateDict([
      ["w", tensorOf([1, 2, 3, 4, 5, 6], [2, 3])],
      ["t", tensorOf([0])],
    ]);
    stateDict.metadata.set("", { version: 1 }).set("bn", { version: 2 });
    const { pickle, storages } = planTorch(stateDict);
    expect(storages.length).to.equal(2);
    const expected = [
      "\x80\x02ccollections\nOrderedDict\nq\0)R(X\x01\0\0\0w",
      "ctorch._utils\n_rebuild_tensor_v2\nq\x01((X\x07\0\0\0storageq\x02ctorch\nFloatStorage\nq\x03X\x01\0\0\0" +
        "0X\x03\0\0\0cpuq\x04K\x06tQK\0K\x02K\x03\x86K\x03K\x01\x86\x89h\0)RtR",
      "X\x01\0\0\0th\x01((h\x02h\x03X\x01\0\0\0" + "1h\x04K\x01tQK\0K\x01\x85K\x01\x85\x89h\0)RtRu",
      "}(X\x09\0\0\0_metadatah\0)R(X\0\0\0\0}(X\x07\0\0\0versionq\x05K\x01uX\x02\0\0\0bn}(h\x05K\x02uuub.",
    ].join("");
    expect(Buffer.from(pickle).toString("latin1")).to.equal(expected);
  });

  it("uses an untyped storage where one class cannot describe all views", () => {
    const plain = (dtype: Tensor["dtype"]) => planTorch(new Map([["x", new Tensor({ dtype, shape: [1], storage: Storage.allocate(16) })]]));
    const textOf = (pickle: Uint8Array) => Buffer.from(pickle).toString("latin1");
    for (const dtype of ["uint16", "float8_e4m3fn", "complex32", "bits8"] as const) {
      const text = textOf(plain(dtype).pickle);
      expect(text).to.contain("_rebuild_tensor_v3").and.contain("ctorch.storage\nUntypedStorage\n").and.contain(`ctorch\n${dtype}\n`);
      expect(text).to.contain("K\x10tQ");
    }
    const storage = Storage.allocate(8);
    const two = planTorch(
      new Map([
        ["i", new Tensor({ dtype: "int32", shape: [2], storage })],
        ["f", new Tensor({ dtype: "float32", shape: [2], storage })],
      ]),
    );
    expect(two.storages.length).to.equal(1);
    expect(textOf(two.pickle).match(/_rebuild_tensor_v3/g)?.length).to.equal(1);
    expect(textOf(two.pickle)).not.to.contain("_v2");
    const odd = planTorch(new Map([["i", new Tensor({ dtype: "int32", shape: [1], storage: Storage.allocate(7) })]]));
    expect(textOf(odd.pickle)).to.contain("UntypedStorage");
  });

  it("takes two windows of one memory for one storage only when they are the same window", () => {
    const buffer = new SharedArrayBuffer(64);
    const view = (byteOffset: number, nbytes: number) =>
      new Tensor({ dtype: "uint8", shape: [4], storage: new Storage(buffer, byteOffset, nbytes) });
    expect(
      planTorch(
        new Map([
          ["a", view(0, 8)],
          ["b", view(0, 8)],
          ["c", view(8, 8)],
          ["d", view(0, 16)],
        ]),
      ).storages.length,
    ).to.equal(3);
  });

  it("refuses what it cannot write, and leaves no file", async () => {
    const withExtra = (value: unknown) => {
      const stateDict = new StateDict();
      stateDict.extraState.set("x", value);
      return stateDict;
    };
    const opaque = new OpaqueValue("posix.system", ["true"], true);
    const deep: unknown[] = [];
    for (let depth = 0, inner = deep; depth < 200; depth += 1) {
      const next: unknown[] = [];
      inner.push(next);
      inner = next;
    }
    for (const [code, stateDict] of [
      ["RANKCAST_SAVE_DTYPE", new Map([["q", new Tensor({ dtype: "qint8", shape: [1], storage: Storage.allocate(1) })]])],
      ["RANKCAST_SAVE_DTYPE", new Map([["f", new Tensor({ dtype: "float6_e2m3", shape: [4], storage: Storage.allocate(3) })]])],
      ["RANKCAST_SAVE_NAME", new Map([["\ud800", tensorOf([1])]])],
      ["RANKCAST_SAVE_NAME", withExtra(2n ** 4000n)],
      ["RANKCAST_SAVE_VALUE", withExtra(Symbol("s"))],
      ["RANKCAST_SAVE_VALUE", withExtra(new Date())],
      ["RANKCAST_SAVE_VALUE", withExtra(new Map([[{}, 1]]))],
      ["RANKCAST_SAVE_VALUE", withExtra(new Map([[opaque, 1]]))],
      ["RANKCAST_SAVE_VALUE", withExtra(deep)],
    ] as const)
      await expectError(code, saveTorch(target(), stateDict));
    const refused = await expectError("RANKCAST_SAVE_VALUE", saveTorch(target(), withExtra({ list: [opaque] })));
    expect(refused.details).to.deep.equal({ key: "x", global: "posix.system" });
    expect(refused.remedy).to.contain("extraState.delete");
    expect(await readdir(directory())).to.deep.equal([]);
  });

  it("widens fields exactly where torch does, above 4 GiB", async () => {
    // Only positions matter, so the sink starts behind 4 GiB that nobody wrote.
    const tail: Buffer[] = [];
    const sink = {
      position: 2 ** 32,
      write: async (bytes: Uint8Array) => {
        tail.push(Buffer.from(bytes));
        sink.position += bytes.length;
      },
    };
    const far = new ZipWriter(sink, "archive");
    await far.addBytes("far", Buffer.from("payload"));
    await far.finish();
    const bytes = Buffer.concat(tail);
    // Local header: 30 + name 11, zip64 field 01 00 08 00 offset, FB padding to 64.
    expect(bytes.subarray(41, 53).toString("hex")).to.equal("010008000000000001000000");
    expect(bytes.subarray(53, 55).toString()).to.equal("FB");
    const payload = bytes.indexOf("payload");
    expect((2 ** 32 + payload) % 64).to.equal(0);
    expect(bytes.readUInt32LE(payload + 7)).to.equal(0x08074b50);
    expect([bytes.readBigUInt64LE(payload + 15), bytes.readBigUInt64LE(payload + 23)]).to.deep.equal([7n, 7n]);
    const entry = payload + 7 + 24;
    expect([bytes.readUInt32LE(entry), bytes.readUInt16LE(entry + 30), bytes.readUInt32LE(entry + 42)]).to.deep.equal([
      0x02014b50, 12, 0xffffffff,
    ]);
    expect(bytes.readBigUInt64LE(entry + 46 + 11 + 4)).to.equal(2n ** 32n);
  });
});
