/** numpy arrays, alone and zipped. */
import { crc32 } from "node:zlib";
import { CheckpointError } from "@rankcast/core";
import { crc32OfTail, npy, npz, OpaqueValue, type TensorRef, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { buildZip, type ZipRecord } from "../../support/build-zip.js";
import { expectError } from "../../support/expect-error.js";
import { digestTree, expectedRows, fixtureInput, inputOf, leavesOf, refusalOf, tensorBytes } from "./sources.ts";

/** A `.npy` file with this literal, padded to `multiple`. */
function npyFile(literal: string, data: Uint8Array, options: { version?: 1 | 2 | 3; multiple?: number } = {}): Buffer {
  const { version = 1, multiple = 64 } = options;
  const begin = version === 1 ? 10 : 12;
  const text = Buffer.from(literal, version === 3 ? "utf8" : "latin1");
  const length = Math.ceil((begin + text.length + 1) / multiple) * multiple - begin;
  const head = Buffer.alloc(begin);
  head.write("\x93NUMPY", "latin1");
  head[6] = version;
  if (version === 1) head.writeUInt16LE(length, 8);
  else head.writeUInt32LE(length, 8);
  return Buffer.concat([head, text, Buffer.alloc(length - text.length - 1, " "), Buffer.from("\n"), data]);
}

const floats = (...values: number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

async function readOne(literal: string, data: Uint8Array): Promise<TensorRef> {
  return (await npy.read(inputOf(npyFile(literal, data)))).root as TensorRef;
}

describe("npy and npz", () => {
  for (const [path, row] of expectedRows(/^accepted\/npz\//)) {
    it(`reads ${path}`, async () => {
      const input = fixtureInput(path);
      const format = path.endsWith(".npy") ? npy : npz;
      expect(await format.matches(input)).to.equal(true);
      expect(await digestTree(await format.read(input))).to.deep.equal(row.tensors);
    });
  }

  for (const [path, row] of expectedRows(/^refused\/.*\/np[yz]_[^/]*$/)) {
    it(`refuses ${path}`, async () => {
      const input = fixtureInput(path);
      const format = path.endsWith(".npy") ? npy : npz;
      expect(await format.matches(input)).to.equal(true);
      const error = await refusalOf(async () => digestTree(await format.read(input)));
      expect([row.class].flat()).to.include(error.class);
    });
  }

  it("reads every spelling of the header that numpy reads", async () => {
    const data = floats(1, 2, 3, 4);
    for (const literal of [
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }",
      '{"shape":(2,2),"fortran_order":False,"descr":"=f4"}',
      "  { 'shape' : ( 2L , 2 , ) , 'descr' : 'f4' , 'fortran_order' : False }  ",
    ])
      expect((await readOne(literal, data)).shape).to.deep.equal([2, 2]);
    const fortran = await readOne("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", data);
    expect(fortran.stride).to.deep.equal([1, 2]);
    for (const version of [2, 3] as const) {
      const tree = await npy.read(inputOf(npyFile("{'descr': '>c8', 'fortran_order': False, 'shape': (2,)}", data, { version })));
      expect([(tree.root as TensorRef).dtype, (tree.root as TensorRef).storage.swapBytes]).to.deep.equal(["complex64", 4]);
    }
  });

  for (const literal of [
    "",
    "{}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': [2], }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,,), }",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} ()",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'extra': 1}",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '<\\x664', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
    "{, 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740993,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4503599627370496, 0, 1024)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2.0,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
  ]) {
    it(`refuses the header ${literal || "of spaces"}`, async () => {
      const error = await refusalOf(() => readOne(literal, floats(1, 2)));
      expect(error.class).to.equal("header");
    });
  }

  it("refuses elements that are no numbers, alone, and keeps them opaque beside others", async () => {
    for (const descr of [
      "'|O'",
      "'<U3'",
      "'|S3'",
      "'<M8[ns]'",
      "'<f16'",
      "'|V2'",
      "[('a', '<f4'), ('b', '<i4', (2,))]",
      "[('x', [('y', '|u1')])]",
    ]) {
      const file = npyFile(`{'descr': ${descr}, 'fortran_order': False, 'shape': (1,), }`, Buffer.alloc(16));
      await expectError("RANKCAST_NPY_DTYPE", () => npy.read(inputOf(file)));
      const archive = buildZip([
        { name: "odd.npy", bytes: file },
        { name: "w.npy", bytes: npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", floats(1)) },
        { name: "notes.txt", bytes: Buffer.from("text") },
      ]);
      const tree = await npz.read(inputOf(archive));
      const leaves = leavesOf(tree.root);
      expect([...leaves.keys()]).to.deep.equal(["odd", "w"]);
      expect(leaves.get("odd")).to.be.instanceOf(OpaqueValue);
      expect(tree.warnings.map(({ code }) => code)).to.deep.equal(["npz-opaque-array", "npz-foreign-record"]);
    }
  });

  it("gives stored elements a storage of their own with its own checksum, deflated ones the record's", async () => {
    const file = npyFile("{'descr': '>i2', 'fortran_order': False, 'shape': (3,), }", Buffer.from([0, 1, 0, 2, 255, 255]));
    const odd = npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } ", floats(5), { multiple: 1 });
    const empty = npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", Buffer.alloc(0));
    const records: ZipRecord[] = [
      { name: "s.npy", bytes: file },
      { name: "d.npy", bytes: file, deflate: true },
      { name: "o.npy", bytes: odd, deflate: true },
      { name: "e.npy", bytes: empty, deflate: true },
    ];
    const tree = await npz.read(inputOf(buildZip(records)));
    const [s, d, o] = ["s", "d", "o"].map((name) => (tree.root as TreeDict).entries.get(name) as TensorRef);
    expect([s?.storage.nbytes, s?.storageOffset, d?.storage.nbytes, d?.storageOffset]).to.deep.equal([
      6,
      0,
      file.length,
      (file.length - 6) / 2,
    ]);
    expect(odd.length % 4).not.to.equal(0);
    expect(o?.storage.pieces[0]?.extent.type).to.equal("inline");
    const digests = await digestTree(tree);
    expect(digests[0]?.sha256).to.equal(digests[1]?.sha256);
    expect([...(await tensorBytes(tree, s as TensorRef))]).to.deep.equal([1, 0, 2, 0, 255, 255]);
    expect([...(await tensorBytes(tree, o as TensorRef))]).to.deep.equal([...floats(5)]);
    expect(tree.checksums).to.equal("present");
    const bare = await npz.read(inputOf(buildZip([...records, { name: "n.npy", bytes: file, crc32: 0 }])));
    expect(bare.checksums).to.equal("partial");
  });

  it("computes the checksum of a tail", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 3000 }), (head, tail) => {
        expect(crc32OfTail(crc32(Buffer.concat([head, tail])), crc32(head), tail.length)).to.equal(crc32(tail));
      }),
    );
    const zeros = Buffer.alloc(2 ** 20);
    let whole = crc32(Buffer.from("head"));
    for (let times = 0; times < 100; times += 1) whole = crc32(zeros, whole);
    let tail = 0;
    for (let times = 0; times < 100; times += 1) tail = crc32(zeros, tail);
    expect(crc32OfTail(whole, crc32(Buffer.from("head")), 100 * zeros.length)).to.equal(tail);
  });

  it("checks the checksum of a record that is all header", async () => {
    const empty = npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }", Buffer.alloc(0));
    for (const deflate of [false, true])
      await expectError("RANKCAST_CHECKSUM", () => npz.read(inputOf(buildZip([{ name: "e.npy", bytes: empty, deflate, crc32: 1 }]))));
  });

  it("refuses records whose size is not the header's", async () => {
    const literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    for (const [values, code] of [
      [[1], "RANKCAST_TRUNCATED"],
      [[1, 2, 3], "RANKCAST_NPY_HEADER"],
    ] as const) {
      for (const deflate of [false, true])
        await expectError(code, () =>
          npz.read(inputOf(buildZip([{ name: "a.npy", bytes: npyFile(literal, floats(...values)), deflate }]))),
        );
    }
    for (const deflate of [false, true]) {
      for (const bytes of [npyFile(literal, floats(1, 2)).subarray(0, 40), Buffer.from("\x93NUMPY\x01", "latin1")])
        await expectError("RANKCAST_TRUNCATED", () => npz.read(inputOf(buildZip([{ name: "a.npy", bytes, deflate }]))));
      await expectError("RANKCAST_NPY_HEADER", () =>
        npz.read(inputOf(buildZip([{ name: "a.npy", bytes: Buffer.from("no array at all"), deflate }]))),
      );
    }
  });

  it("reads long headers and refuses ones above the limit", async () => {
    const long = npyFile("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", floats(7), { multiple: 32768 });
    for (const deflate of [false, true]) {
      const tree = await npz.read(inputOf(buildZip([{ name: "a.npy", bytes: long, deflate }])));
      expect([...(await tensorBytes(tree, (tree.root as TreeDict).entries.get("a") as TensorRef))]).to.deep.equal([...floats(7)]);
    }
    expect((await digestTree(await npy.read(inputOf(long)))).length).to.equal(1);
    const error = await refusalOf(() => npy.read(inputOf(long, { limits: { npyHeaderBytes: 1000 } })));
    expect(error.details["limit"]).to.equal("npyHeaderBytes");
  });

  it("warns of bytes behind a single array", async () => {
    const tree = await npy.read(
      inputOf(Buffer.concat([npyFile("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", Buffer.from([1])), Buffer.from("more")])),
    );
    expect(tree.warnings.map(({ code }) => code)).to.deep.equal(["trailing-bytes"]);
  });

  it("turns every change of one byte and every cut of an npz into equal values or a typed error", async () => {
    const array = npyFile("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 2), }", Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]));
    const file = Buffer.from(
      buildZip([
        { name: "a.npy", bytes: array },
        { name: "b.npy", bytes: array, deflate: true },
      ]),
    );
    const digests = await digestTree(await npz.read(inputOf(file)));
    const values = new Set(digests.map(({ dtype, shape, sha256 }) => JSON.stringify([dtype, shape, sha256])));
    const attempt = async (bytes: Uint8Array): Promise<boolean> => {
      try {
        const found = await digestTree(await npz.read(inputOf(bytes)));
        // Names stand in no checksum; a changed header is caught by the record's, which only reading all of it can check.
        for (const { dtype, shape, sha256 } of found) expect(values).to.include(JSON.stringify([dtype, shape, sha256]));
        return true;
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        return false;
      }
    };
    for (let at = 0; at < file.length; at += 1) {
      expect(await attempt(file.subarray(0, at))).to.equal(false);
      for (const flip of [1, 2, 0x20, 0x80, 0xff]) {
        const changed = Buffer.from(file);
        changed[at] = (changed[at] ?? 0) ^ flip;
        await attempt(changed);
      }
    }
  }).timeout(60_000);
});
