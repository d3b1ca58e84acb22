/** TensorFlow.js weight manifests. */
import { type FormatInput, OpaqueValue, type TensorRef, type TreeDict, tfjs } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { digestTree, inputOf, refusalOf, tensorBytes } from "./sources.ts";

function modelInput(
  groups: unknown,
  files: Readonly<Record<string, Uint8Array>>,
  rest: object = {},
  limits: Record<string, number> = {},
): FormatInput {
  const text =
    typeof groups === "string"
      ? groups
      : JSON.stringify({ format: "layers-model", modelTopology: { nested: [1, { a: null }] }, ...rest, weightsManifest: groups });
  return inputOf(Buffer.from(text), { name: "model.json", files: new Map(Object.entries(files)), limits });
}

const bytes = Uint8Array.from({ length: 40 }, (_, index) => index);

describe("tfjs", () => {
  it("is recognised by its manifest, even behind a long topology", async () => {
    expect(await tfjs.matches(modelInput([], {}))).to.equal(true);
    expect(await tfjs.matches(modelInput([], {}, { modelTopology: "x".repeat(20_000) }))).to.equal(true);
    expect(await tfjs.matches(modelInput('{"weight_map":{}}', {}))).to.equal(false);
  });

  it("reads weights that cross from file to file", async () => {
    const files = {
      "a.bin": bytes.subarray(0, 3),
      "b.bin": bytes.subarray(3, 4),
      "c.bin": new Uint8Array(0),
      "sub/d.bin": bytes.subarray(4, 40),
    };
    const groups = [
      {
        paths: ["a.bin", "b.bin", "c.bin", "sub/d.bin"],
        weights: [
          { name: "dense/kernel", shape: [2, 2], dtype: "float32" },
          { name: "dense/bias", shape: [2], dtype: "int32" },
          { name: "none", shape: [0, 4], dtype: "float32" },
          { name: "mask", shape: [3], dtype: "bool" },
          { name: "half", shape: [], dtype: "float32", quantization: { dtype: "float16" } },
          { name: "z", shape: [1], dtype: "complex64" },
        ],
      },
      { paths: ["e.bin"], weights: [{ name: "other", shape: [2], dtype: "uint8" }] },
    ];
    const input = modelInput(groups, { ...files, "e.bin": Uint8Array.of(7, 8, 9) });
    const tree = await tfjs.read(input);
    const { entries } = tree.root as TreeDict;
    const found: [string, string, readonly number[], number, number[]][] = [];
    for (const [name, ref] of entries as Map<string, TensorRef>)
      found.push([name, ref.dtype, ref.shape, ref.storage.pieces.length, [...(await tensorBytes(tree, ref))]]);
    const range = (from: number, to: number) => [...bytes.subarray(from, to)];
    expect(found).to.deep.equal([
      ["dense/kernel", "float32", [2, 2], 3, range(0, 16)],
      ["dense/bias", "int32", [2], 1, range(16, 24)],
      ["none", "float32", [0, 4], 0, []],
      ["mask", "bool", [3], 1, range(24, 27)],
      ["half", "float16", [], 1, range(27, 29)],
      ["z", "complex64", [1], 1, range(29, 37)],
      ["other", "uint8", [2], 1, [7, 8]],
    ]);
    expect(tree.warnings.map(({ message }) => message)).to.deep.equal([
      "3 bytes behind the last weight of a group were ignored",
      "1 bytes behind the last weight of a group were ignored",
    ]);
    expect([...tree.fileMetadata]).to.deep.equal([["format", "layers-model"]]);
    expect((await digestTree(tree)).length).to.equal(7);
  });

  it("keeps text and scaled integers opaque, and finds what is behind them", async () => {
    const text = (value: string) => Buffer.concat([Buffer.from(Uint32Array.of(Buffer.byteLength(value)).buffer), Buffer.from(value)]);
    const data = Buffer.concat([Buffer.of(1, 0), text("é"), text(""), text("word"), Buffer.of(1, 2, 3, 4, 5, 6, 7, 8, 9)]);
    const groups = [
      {
        paths: ["1", "2"],
        weights: [
          { name: "first", shape: [2], dtype: "bool" },
          { name: "words", shape: [3], dtype: "string" },
          { name: "q8", shape: [4], dtype: "float32", quantization: { dtype: "uint8", scale: 0.1, min: -1 } },
          { name: "q16", shape: [2], dtype: "int32", quantization: { dtype: "uint16", scale: 1, min: 0 } },
          { name: "w", shape: [1], dtype: "bool" },
        ],
      },
    ];
    const tree = await tfjs.read(modelInput(groups, { "1": data.subarray(0, 5), "2": data.subarray(5) }));
    const { entries } = tree.root as TreeDict;
    expect([...entries.values()].map((leaf) => (leaf instanceof OpaqueValue ? leaf.global : "tensor"))).to.deep.equal([
      "tensor",
      "tfjs.string",
      "tfjs.quantised uint8",
      "tfjs.quantised uint16",
      "tensor",
    ]);
    expect([...(await tensorBytes(tree, entries.get("w") as TensorRef))]).to.deep.equal([9]);
    expect(tree.warnings.length).to.equal(3);
  });

  const one = { name: "w", shape: [4], dtype: "float32" };
  for (const [why, groups, code] of [
    ["a weight past the end", [{ paths: ["a"], weights: [{ ...one, shape: [5] }] }], "RANKCAST_TRUNCATED"],
    ["text past the end", [{ paths: ["a"], weights: [{ ...one, shape: [9], dtype: "string" }] }], "RANKCAST_TRUNCATED"],
    ["a missing file", [{ paths: ["b"], weights: [one] }], "RANKCAST_INDEX_SHARD"],
    ["a path that climbs", [{ paths: ["../a"], weights: [one] }], "RANKCAST_UNSAFE_PATH"],
    ["one file twice", [{ paths: ["a", "a"], weights: [one] }], "RANKCAST_INDEX_SYNTAX"],
    ["one weight twice", [{ paths: ["a"], weights: [one, one] }], "RANKCAST_INDEX_SYNTAX"],
    ["a group without paths", [{ weights: [one] }], "RANKCAST_INDEX_SYNTAX"],
    ["a weight without shape", [{ paths: ["a"], weights: [{ name: "w", dtype: "int32" }] }], "RANKCAST_INDEX_SYNTAX"],
    ["a negative size", [{ paths: ["a"], weights: [{ ...one, shape: [-1] }] }], "RANKCAST_INDEX_SYNTAX"],
    ["sizes above 2^53", [{ paths: ["a"], weights: [{ ...one, shape: [2 ** 40, 2 ** 40] }] }], "RANKCAST_INDEX_SYNTAX"],
    ["a manifest that is no list", {}, "RANKCAST_INDEX_SYNTAX"],
    ["two manifests", '{"weightsManifest":[],"weightsManifest":[]}', "RANKCAST_INDEX_SYNTAX"],
    ["no manifest", '{"format":"layers-model"}', "RANKCAST_INDEX_SYNTAX"],
    ["an unknown dtype", [{ paths: ["a"], weights: [{ ...one, dtype: "float8" }] }], "RANKCAST_UNSUPPORTED"],
    ["an unknown quantisation", [{ paths: ["a"], weights: [{ ...one, quantization: { scale: 1 } }] }], "RANKCAST_UNSUPPORTED"],
  ] as const) {
    it(`refuses ${why}`, async () => {
      await expectError(code, () => tfjs.read(modelInput(groups, { a: bytes.subarray(0, 16) })));
    });
  }

  it("says where a weight would end", async () => {
    const groups = [
      {
        paths: ["a"],
        weights: [
          { ...one, shape: [1] },
          { ...one, name: "x" },
        ],
      },
    ];
    const error = await refusalOf(() => tfjs.read(modelInput(groups, { a: bytes.subarray(0, 16) })));
    expect(error.details).to.deep.equal({ file: "model.json", key: "x", offset: 20, sizeBytes: 16 });
  });

  it("bounds counts", async () => {
    const groups = [
      {
        paths: ["a", "b"],
        weights: [
          { ...one, shape: [2, 2] },
          { name: "x", shape: [0], dtype: "bool" },
        ],
      },
    ];
    const files = { a: bytes.subarray(0, 8), b: bytes.subarray(8, 16) };
    for (const limit of ["indexShards", "tensors", "tensorRank"]) {
      const error = await refusalOf(() => tfjs.read(modelInput(groups, files, {}, { [limit]: 1 })));
      expect(error.details["limit"]).to.equal(limit);
    }
  });
});
