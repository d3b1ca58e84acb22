import { Storage } from "@rankcast/core";
import { OpaqueValue, type StorageRef, TensorRef } from "@rankcast/core/internal";
import { expect } from "chai";
import { plain, read, readPlain } from "../../support/plain-tree.ts";
import { RECORDED_ARRAYS, RECORDED_PICKLES } from "./recorded-pickles.ts";

const SPECIAL: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["None", null],
  ["True", true],
  ["False", false],
  ["2**53-1", Number.MAX_SAFE_INTEGER],
  ["2**53", 2n ** 53n],
  ["-2**53", -(2n ** 53n)],
  ["2**63", 2n ** 63n],
  ["-2**63", -(2n ** 63n)],
  ["2**100", 2n ** 100n],
  ["-2**100", -(2n ** 100n)],
  ["255**300", 255n ** 300n],
  ["inf", Number.POSITIVE_INFINITY],
  ["-inf", Number.NEGATIVE_INFINITY],
  ["ascii", "layer.0.weight"],
  ["empty text", ""],
  ["latin", "h\xe9llo"],
  ["wide", "\u4e16\u754c"],
  ["astral", "\u{1f600}"],
  ["surrogate", "a\ud800b"],
  ["controls", "a\\b\n\r\x00\x1a\u0085\"'"],
  ["long text", "ab".repeat(200)],
  ["long wide text", "\u4e16".repeat(300)],
  ["bytes", "hex:00ff806f6b"],
  ["empty bytes", "hex:"],
  ["long bytes", `hex:${Buffer.from(Array.from({ length: 512 }, (_, at) => at % 256)).toString("hex")}`],
  ["bytearray", "hex:0102fe"],
  ["complex", { re: 1.5, im: -2 }],
  ["()", ["tuple"]],
  ["(1,)", ["tuple", 1]],
  ["(1,2)", ["tuple", 1, 2]],
  ["(1,2,3)", ["tuple", 1, 2, 3]],
  ["(1,2,3,4)", ["tuple", 1, 2, 3, 4]],
  ["[]", ["list"]],
  ["[1,[2]]", ["list", 1, ["list", 2]]],
  ["{}", ["dict"]],
  ["dict", ["dict", ["a", 1], [2, "b"], [null, 3], [["key", 1, "x"], 4], [1.5, 5], ["hex:6b", 6]]],
  ["set", ["set", 7]],
  ["frozenset", ["frozenset", 8]],
  ["OrderedDict", ["OrderedDict", ["z", 1], ["a", 2]]],
  ["defaultdict", ["defaultdict", ["k", ["list", 1]]]],
  ["Counter", ["Counter", ["a", 2], ["b", 1]]],
  ["deque", ["deque", 1, 2]],
  ["Ellipsis", { global: "builtins.Ellipsis" }],
  ["type", { global: "builtins.int" }],
]);

describe("pickles that CPython wrote", () => {
  for (const [name, protocols] of RECORDED_PICKLES) {
    for (const [protocol, bytes] of protocols.entries()) {
      it(`reads ${name} in protocol ${protocol}`, () => {
        const expected = SPECIAL.has(name) ? SPECIAL.get(name) : Number(name);
        expect(readPlain(bytes)).to.deep.equal(expected);
      });
    }
  }

  it("keeps the sign of a negative zero", () => {
    for (const bytes of RECORDED_PICKLES.get("-0.0") ?? []) expect(Object.is(read(bytes), -0)).to.equal(true);
  });
});

describe("arrays that numpy wrote", () => {
  const expected: readonly (readonly [name: string, dtype: string, shape: number[], stride: number[], hex: string])[] = [
    ["float32 [2,3]", "float32", [2, 3], [3, 1], "000000000000803f00000040000040400000804" + "00000a040"],
    ["fortran float32 [2,3]", "float32", [2, 3], [1, 2], "00000000000040400000803f0000804000000040" + "0000a040"],
    ["big-endian float64 [2]", "float64", [2], [1], "3ff8000000000000c000000000000000"],
    ["bool [3]", "bool", [3], [1], "010001"],
    ["float64 []", "float64", [], [], "0000000000000440"],
    ["int8 [0,4]", "int8", [0, 4], [4, 1], ""],
    ["complex64 [2]", "complex64", [2], [1], "0000803f0000004000004040000080c0"],
    ["uint16 [2]", "uint16", [2], [1], "0100ffff"],
    ["float16 [2]", "float16", [2], [1], "003e00c0"],
  ];
  for (const [name, dtype, shape, stride, hex] of expected) {
    for (const [protocol, bytes] of (RECORDED_ARRAYS.get(name) ?? []).entries()) {
      it(`reads ${name} in protocol ${protocol}`, () => {
        const array = read(bytes);
        expect(array).to.be.instanceOf(TensorRef);
        if (!(array instanceof TensorRef)) return;
        expect([array.dtype, [...array.shape], [...array.stride], array.origin]).to.deep.equal([dtype, shape, stride, "numpy"]);
        expect(contentOf(array.storage)).to.equal(hex);
        expect(array.storage.swapBytes).to.equal(name.startsWith("big") ? 8 : 1);
      });
    }
  }

  it("reads a transposed array the way it lies in memory or in the way it was copied", () => {
    for (const bytes of RECORDED_ARRAYS.get("int64 [2] transposed") ?? []) {
      const array = read(bytes) as TensorRef;
      const view = Buffer.from(contentOf(array.storage), "hex");
      const at = (row: number, column: number): bigint =>
        view.readBigInt64LE(8 * (row * (array.stride[0] ?? 0) + column * (array.stride[1] ?? 0)));
      expect([at(0, 0), at(0, 1), at(1, 0), at(1, 1)]).to.deep.equal([0n, 2n, 1n, 3n]);
    }
  });

  it("keeps arrays of objects, structures, text and dates as objects", () => {
    for (const name of ["object", "structured", "text", "dates"]) {
      for (const bytes of RECORDED_ARRAYS.get(name) ?? []) {
        const array = read(bytes);
        expect(array, name).to.be.instanceOf(OpaqueValue);
        expect((array as OpaqueValue).global).to.equal("numpy.ndarray");
      }
    }
  });

  it("reads scalars as plain numbers", () => {
    const scalars: readonly (readonly [string, unknown])[] = [
      ["scalar float64 1.5", 1.5],
      ["scalar int32 -7", -7],
      ["scalar bool true", true],
      ["scalar uint64 18446744073709551615", 2n ** 64n - 1n],
      ["scalar big-endian int16 258", 258],
    ];
    for (const [name, value] of scalars)
      for (const bytes of RECORDED_ARRAYS.get(name) ?? []) expect(readPlain(bytes), name).to.equal(value);
  });

  it("keeps a text scalar as an object", () => {
    for (const bytes of RECORDED_ARRAYS.get("scalar text") ?? []) expect(plain(read(bytes))).to.have.property("global", "numpy.generic");
  });
});

function contentOf({ nbytes, pieces }: StorageRef): string {
  const target = Storage.allocate(nbytes);
  for (const { at, extent } of pieces) if (extent.type === "inline") target.bytes().set(extent.bytes, at);
  return Buffer.from(target.bytes()).toString("hex");
}
