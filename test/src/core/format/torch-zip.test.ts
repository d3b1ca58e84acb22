import { compileLimits } from "@rankcast/core";
import { HeapBudget, memorySource, noSiblings, OpaqueValue, readHead, StorageRef, TensorRef, torchZip } from "@rankcast/core/internal";
import { expect } from "chai";
import { buildZip } from "../../support/build-zip.ts";
import { expectError } from "../../support/expect-error.ts";
import { readTree } from "../../support/read-tensors.ts";
import { legacyFile, pickleOf, readFile, readW, TORCH_FORMATS, TWELVE, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, call, dict, global, int, pickle, storage, tensor, text, tuple, u32 } from "../../support/write-pickle.ts";

const codes = (warnings: readonly { code: string }[]): string[] => warnings.map(({ code }) => code);

describe("torch-zip", () => {
  it("is known by the first four bytes of a zip", async () => {
    const source = memorySource(torchZipFile({ pickle: pickleOf(tensor()) }));
    const input = {
      source,
      head: await readHead(source),
      siblings: noSiblings("x"),
      limits: compileLimits(),
      heap: new HeapBudget(compileLimits(), source.sizeBytes),
      signal: undefined,
      nesting: 0,
    };
    expect(torchZip.matches(input)).to.equal(true);
    expect(torchZip.matches({ ...input, head: Buffer.from("PK\x05\x06") })).to.equal(false);
    expect(torchZip.matches({ ...input, head: new Uint8Array(0) })).to.equal(false);
  });

  it("takes versions 1 to 10 and nothing else", async () => {
    const read = (version: string | null): Promise<unknown> => readW(tensor(), { version });
    for (const version of ["1", "3\n", "10\n", " 7 "]) expect(await read(version)).to.be.instanceOf(TensorRef);
    for (const version of [null, "0", "11", "abc", "", "-1", "3.0", "1e1", "3\n".repeat(40)])
      await expectError("RANKCAST_TORCH_VERSION", read(version));
  });

  it("takes little, big or no byte order", async () => {
    for (const byteorder of ["middle", "big\n", "", "BIG", "little ".repeat(20)]) {
      await expectError("RANKCAST_TORCH_BYTE_ORDER", readW(tensor(), { byteorder }));
    }
    expect(await readW(tensor(), { byteorder: null })).to.have.nested.property("storage.swapBytes", 1);
    expect(await readW(tensor(), { byteorder: "big" })).to.have.nested.property("storage.swapBytes", 4);
  });

  it("swaps untyped big-endian storages by the tensor's type, and refuses two types that disagree", async () => {
    const untyped = { type: global("torch.storage", "UntypedStorage"), numel: int(48) };
    const v3 = (dtype: string): Uint8Array =>
      call(
        "torch._utils",
        "_rebuild_tensor_v3",
        storage(untyped),
        int(0),
        tuple(int(1)),
        tuple(int(1)),
        "\x89",
        call("collections", "OrderedDict"),
        global("torch", dtype),
      );
    expect(await readW(v3("uint16"), { byteorder: "big" })).to.have.nested.property("storage.swapBytes", 2);
    expect(await readW(v3("complex32"), { byteorder: "big" })).to.have.nested.property("storage.swapBytes", 2);
    expect(await readW(tuple(v3("uint16"), v3("int16")), { byteorder: "big" })).to.have.property("elements");
    await expectError("RANKCAST_TENSOR_TYPE", readW(tuple(v3("uint16"), v3("uint32")), { byteorder: "big" }));
    expect(await readW(tuple(v3("uint16"), v3("uint32")))).to.have.property("elements");
  });

  it("keeps where every storage lies, and its checksum", async () => {
    const bytes = torchZipFile({ pickle: pickleOf(tensor()) });
    const tree = await readTree(memorySource(bytes, "model.pt"), TORCH_FORMATS);
    const { manifest } = await readFile(bytes);
    const extent = manifest.storages[0]?.pieces[0]?.extent;
    if (extent?.type !== "range") throw new Error("not in the file");
    expect(Buffer.compare(bytes.subarray(extent.offset, extent.offset + 48), TWELVE)).to.equal(0);
    expect([extent.record, tree.checksums, tree.format]).to.deep.equal(["archive/data/0", "present", "torch-zip"]);
  });

  it("says whether checksums cover the tensors", async () => {
    const two = dict([
      [text("a"), tensor()],
      [text("b"), tensor({ key: text("1") })],
    ]);
    const file = (...without: string[]): Uint8Array =>
      buildZip([
        { name: "m/data.pkl", bytes: pickle(two) },
        ...["0", "1"].map((key) => ({ name: `m/data/${key}`, bytes: TWELVE, ...(without.includes(key) ? { crc32: 0 } : {}) })),
        { name: "m/version", bytes: Buffer.from("3") },
      ]);
    const checksums = async (bytes: Uint8Array): Promise<string> => (await readTree(memorySource(bytes), TORCH_FORMATS)).checksums;
    expect([await checksums(file()), await checksums(file("0")), await checksums(file("0", "1"))]).to.deep.equal([
      "present",
      "partial",
      "absent",
    ]);
  });

  it("warns about bytes after the pickle and about storages of no tensor", async () => {
    const odd = torchZipFile({ pickle: bytesOf(pickleOf(tensor()), "tail"), storages: { 0: TWELVE, 1: TWELVE, 2: TWELVE } });
    const { warnings } = (await readFile(odd)).tree;
    expect(codes(warnings)).to.deep.equal(["pickle-trailing-bytes", "unused-storages"]);
    expect(warnings[1]?.message).to.include("2 storages");
  });

  it("names the byte of the file when data.pkl is stored, and of the record when it is compressed", async () => {
    const wrong = pickle("h\x05");
    const stored = await expectError("RANKCAST_PICKLE_MEMO", readFile(torchZipFile({ pickle: wrong })));
    const at = Buffer.from(torchZipFile({ pickle: wrong })).indexOf(wrong);
    expect(stored.details).to.include({ file: "model.pt", record: "archive/data.pkl", offset: at + 2, opcode: "BINGET" });
    const deflated = buildZip([
      { name: "m/data.pkl", bytes: wrong, deflate: true },
      { name: "m/version", bytes: Buffer.from("3") },
    ]);
    expect((await expectError("RANKCAST_PICKLE_MEMO", readFile(deflated))).details).to.include({ record: "m/data.pkl", offset: 2 });
  });

  it("says that a program of torch.export is one", async () => {
    const extra = [{ name: "m/archive_format", bytes: Buffer.from("pt2") }];
    const archive = buildZip([
      { name: "m/data/weights/weight_0", bytes: TWELVE },
      ...extra,
      { name: "m/models/model.json", bytes: Buffer.from("{}") },
    ]);
    const error = await expectError("RANKCAST_UNSUPPORTED", readFile(archive));
    expect(error.message).to.contain("torch.export");
  });

  it("bounds data.pkl before it reads it", async () => {
    const source = memorySource(torchZipFile({ pickle: pickleOf(tensor()) }));
    const input = {
      source,
      head: await readHead(source),
      siblings: noSiblings("x"),
      limits: compileLimits({ pickleBytes: 20 }),
      heap: new HeapBudget(compileLimits(), source.sizeBytes),
      signal: undefined,
      nesting: 0,
    };
    await expectError("RANKCAST_LIMIT", torchZip.read(input));
  });

  it("holds bare storages, views of none", async () => {
    const value = await readW(storage());
    expect(value).to.be.instanceOf(StorageRef);
    expect(value).to.include({ nbytes: 48, key: "0" });
  });

  it("reads streams inside of it, to a depth", async () => {
    const load = (bytes: Uint8Array): Uint8Array => call("torch.storage", "_load_from_bytes", bytesOf("B", u32(bytes.length), bytes));
    const stored = legacyFile({ object: pickle(storage({ view: "N" })) });
    const once = tensor();
    const rebuilt = call(
      "torch._utils",
      "_rebuild_tensor_v2",
      load(stored),
      int(0),
      tuple(int(12)),
      tuple(int(1)),
      "\x89",
      call("collections", "OrderedDict"),
    );
    const { tensors } = await readFile(torchZipFile({ pickle: pickleOf(tuple(once, rebuilt)) }));
    expect(tensors.map(({ name, shape }) => [name, shape])).to.deep.equal([
      ["w.0", [3, 4]],
      ["w.1", [12]],
    ]);
    expect(tensors[0]?.sha256).to.equal(tensors[1]?.sha256);
    let deep = stored;
    for (let depth = 1; depth < 3; depth += 1) deep = legacyFile({ object: pickle(load(deep)), storages: [] });
    await expectError("RANKCAST_LIMIT", readW(load(deep)));
    await expectError("RANKCAST_PICKLE_CALL", readW(load(pickle("N"))));
    await expectError("RANKCAST_PICKLE_CALL", readW(call("torch.storage", "_load_from_bytes", text("x"))));
    await expectError("RANKCAST_PICKLE_TRUNCATED", readW(load(stored.subarray(0, 60))));
    await expectError("RANKCAST_TRUNCATED", readW(load(stored.subarray(0, stored.length - 1))));
    await expectError(
      "RANKCAST_LEGACY_COUNT",
      readW(load(legacyFile({ object: pickle(storage({ view: "N" })), storages: [["0", 11, TWELVE]] }))),
    );
  });

  it("counts the work of streams that are asked for again and again", async () => {
    const slow = legacyFile({ object: pickle("N0".repeat(150_000), "N"), storages: [] });
    const again = "h\x00h\x01R0".repeat(20_000);
    const repeated = bytesOf("B", u32(slow.length), slow, "\x85q\x010", global("torch.storage", "_load_from_bytes"), "q\x000", again, "N");
    const error = await expectError("RANKCAST_LIMIT", readW(repeated));
    expect(error.details).to.include({ limit: "pickleValueRatio" });
  });

  it("keeps a whole pickled model as an object with its state", async () => {
    const state = dict([[text("_parameters"), dict([[text("weight"), tensor()]])]]);
    const value = await readW(bytesOf(global("acme.nets", "Net"), ")\x81", state, "b"));
    expect(value).to.be.instanceOf(OpaqueValue);
  });
});

describe("zips of one file", () => {
  const zipped = (bytes: Uint8Array, name = "old.pth", deflate = true): Uint8Array => buildZip([{ name, bytes, deflate }]);

  it("hold a checkpoint of before 1.6", async () => {
    const plain = await readFile(legacyFile());
    for (const deflate of [true, false]) {
      const { tensors, format } = await readFile(zipped(legacyFile(), "old.pth", deflate));
      expect(tensors).to.deep.equal(plain.tensors);
      expect(format).to.equal("torch-legacy");
    }
    expect((await readFile(zipped(legacyFile(), "folder/old.pth"))).tensors).to.have.length(1);
  });

  it("are refused when they hold something else", async () => {
    const error = await expectError("RANKCAST_UNKNOWN_FORMAT", readFile(zipped(Buffer.from("hello"), "readme.txt")));
    expect(error.message).to.include("readme.txt");
    await expectError("RANKCAST_UNKNOWN_FORMAT", readFile(buildZip([])));
    await expectError("RANKCAST_CHECKSUM", readFile(buildZip([{ name: "old.pth", bytes: legacyFile(), crc32: 1 }])));
  });

  it("are torch archives when the file is data.pkl", async () => {
    await expectError("RANKCAST_TORCH_VERSION", readFile(buildZip([{ name: "m/data.pkl", bytes: pickle("}") }])));
  });
});
