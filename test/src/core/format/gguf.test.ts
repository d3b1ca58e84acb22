/** GGUF headers and plain tensors; files are made here byte by byte after docs/gguf.md. */
import { CheckpointError } from "@rankcast/core";
import { gguf, OpaqueValue, type TensorRef, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { type Draft, ggufFile, type Writer } from "./gguf-file.ts";
import { digestTree, inputOf, tensorBytes } from "./sources.ts";

const floats = Buffer.from(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);

describe("gguf", () => {
  it("reads plain tensors row-major and metadata as text, in every version", async () => {
    for (const version of [1, 2, 3]) {
      const file = ggufFile(
        [
          { name: "a.weight", dims: [3, 2], type: 0, data: floats },
          { name: "b", dims: [4], type: 30, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
          { name: "scalar", dims: [], type: 28, data: Buffer.alloc(8, 1) },
          { name: "none", dims: [0, 7], type: 24 },
          { name: "last", dims: [2], type: 27, data: Buffer.alloc(16, 2) },
        ],
        [
          (writer) => writer.text("general.architecture").u32(8).text("llama"),
          (writer) =>
            writer
              .text("rope")
              .u32(6)
              .raw(Buffer.from(Float32Array.of(0.5).buffer)),
          (writer) => writer.text("flag").u32(7).raw(Buffer.of(1)),
          (writer) =>
            writer
              .text("big")
              .u32(10)
              .u64(2n ** 63n),
          (writer) => writer.text("tokens").u32(9).u32(8).count(2).text("a").text("bc"),
          (writer) => writer.text("scores").u32(9).u32(6).count(3).raw(Buffer.alloc(12)),
          (writer) => writer.text("nested").u32(9).u32(9).count(2).u32(0).count(1).raw(Buffer.of(9)).u32(9).count(1).u32(1).count(0),
          (writer) => writer.text("after").u32(5).u32(7),
        ],
        { version },
      );
      const input = inputOf(file);
      expect(await gguf.matches(input)).to.equal(true);
      const tree = await gguf.read(input);
      expect([...tree.fileMetadata]).to.deep.equal([
        ["general.architecture", "llama"],
        ["rope", "0.5"],
        ["flag", "true"],
        ["big", "9223372036854775808"],
        ["tokens", "array of 2"],
        ["scores", "array of 3"],
        ["nested", "array of 2"],
        ["after", "7"],
      ]);
      expect((await digestTree(tree)).map(({ name, dtype, shape }) => [name, dtype, shape])).to.deep.equal([
        ["a.weight", "float32", [2, 3]],
        ["b", "bfloat16", [4]],
        ["scalar", "float64", []],
        ["none", "int8", [7, 0]],
        ["last", "int64", [2]],
      ]);
      const weight = (tree.root as TreeDict).entries.get("a.weight") as TensorRef;
      expect(Buffer.compare(Buffer.from(await tensorBytes(tree, weight)), floats)).to.equal(0);
    }
  });

  it("reads big-endian files, told by the magic or by the version alone", async () => {
    for (const magic of ["FUGG", "GGUF"]) {
      const data = Buffer.from(floats).swap32();
      const tree = await gguf.read(
        inputOf(ggufFile([{ name: "w", dims: [6], type: 0, data }], [(writer) => writer.text("k").u32(4).u32(5)], { big: true, magic })),
      );
      expect(tree.fileMetadata.get("k")).to.equal("5");
      expect(Buffer.compare(Buffer.from(await tensorBytes(tree, (tree.root as TreeDict).entries.get("w") as TensorRef)), floats)).to.equal(
        0,
      );
    }
  });

  it("lists quantised blocks as opaque, with one warning for each type", async () => {
    const tree = await gguf.read(
      inputOf(
        ggufFile([
          { name: "q1", dims: [32], type: 2, data: Buffer.alloc(18) },
          { name: "q2", dims: [32, 2], type: 2, data: Buffer.alloc(36) },
          { name: "new", dims: [32], type: 999, data: Buffer.alloc(5) },
          { name: "w", dims: [1], type: 0, data: Buffer.alloc(4) },
        ]),
      ),
    );
    const entries = (tree.root as TreeDict).entries;
    expect([...entries.values()].map((leaf) => (leaf instanceof OpaqueValue ? leaf.global : "tensor"))).to.deep.equal([
      "ggml.Q4_0",
      "ggml.Q4_0",
      "ggml.type 999",
      "tensor",
    ]);
    expect(tree.warnings.map(({ message }) => message)).to.deep.equal([
      "2 tensors of type Q4_0 are quantised blocks and are kept opaque",
      "1 tensors of type type 999 are quantised blocks and are kept opaque",
    ]);
  });

  it("reads a header larger than its window, and a value larger than that", async () => {
    const words = Array.from({ length: 60_000 }, (_, index) => `token ${index}`);
    const pairs = [
      (writer: Writer) => {
        writer.text("tokens").u32(9).u32(8).count(words.length);
        for (const word of words) writer.text(word);
      },
      (writer: Writer) => writer.text("long").u32(8).text("x".repeat(700_000)),
      (writer: Writer) => writer.text("zeros").u32(9).u32(0).count(900_000).raw(Buffer.alloc(900_000)),
    ];
    const drafts = Array.from({ length: 9000 }, (_, index) => ({
      name: `t${index}`,
      dims: [1],
      type: 0,
      data: Buffer.from(Float32Array.of(index).buffer),
    }));
    const tree = await gguf.read(inputOf(ggufFile(drafts, pairs)));
    const { entries } = tree.root as TreeDict;
    expect([entries.size, tree.fileMetadata.get("long")?.length, tree.fileMetadata.get("zeros")]).to.deep.equal([
      9000,
      700_000,
      "array of 900000",
    ]);
    expect(Buffer.from(await tensorBytes(tree, entries.get("t8999") as TensorRef)).readFloatLE()).to.equal(8999);
  });

  it("honours the file's own alignment", async () => {
    const pair = (writer: Writer) => writer.text("general.alignment").u32(4).u32(64);
    const tree = await gguf.read(
      inputOf(
        ggufFile(
          [
            { name: "a", dims: [1], type: 0, data: floats.subarray(0, 4) },
            { name: "b", dims: [1], type: 0, data: floats.subarray(4, 8) },
          ],
          [pair],
          { alignment: 64 },
        ),
      ),
    );
    expect(Buffer.from(await tensorBytes(tree, (tree.root as TreeDict).entries.get("b") as TensorRef)).readFloatLE()).to.equal(2);
  });

  const one: Draft = { name: "w", dims: [1], type: 0, data: floats.subarray(0, 4) };
  for (const [why, file, code] of [
    ["an unknown version", ggufFile([one], [], { version: 4 }), "RANKCAST_GGUF_HEADER"],
    ["an unknown metadata type", ggufFile([one], [(writer) => writer.text("k").u32(13)]), "RANKCAST_GGUF_HEADER"],
    ["an unknown element type", ggufFile([one], [(writer) => writer.text("k").u32(9).u32(77).count(1)]), "RANKCAST_GGUF_HEADER"],
    [
      "one metadata name twice",
      ggufFile([one], [(writer) => writer.text("k").u32(4).u32(1), (writer) => writer.text("k").u32(4).u32(1)]),
      "RANKCAST_GGUF_HEADER",
    ],
    ["one tensor name twice", ggufFile([one, one]), "RANKCAST_GGUF_HEADER"],
    ["an alignment of 0", ggufFile([one], [(writer) => writer.text("general.alignment").u32(4).u32(0)]), "RANKCAST_GGUF_HEADER"],
    ["an alignment that is text", ggufFile([one], [(writer) => writer.text("general.alignment").u32(8).text("x")]), "RANKCAST_GGUF_HEADER"],
    ["an offset off the alignment", ggufFile([{ ...one, offset: 4 }]), "RANKCAST_GGUF_HEADER"],
    ["two tensors on the same bytes", ggufFile([one, { ...one, name: "x", offset: 0 }]), "RANKCAST_GGUF_HEADER"],
    ["a size above 2^53", ggufFile([{ ...one, dims: [2n ** 60n] }]), "RANKCAST_GGUF_HEADER"],
    ["a product above 2^53", ggufFile([{ ...one, dims: [2 ** 40, 2 ** 40] }]), "RANKCAST_GGUF_HEADER"],
    [
      "arrays nested without end",
      ggufFile(
        [one],
        [
          (writer) => {
            writer.text("k").u32(9);
            for (let depth = 0; depth < 100; depth += 1) writer.u32(9).count(1);
          },
        ],
      ),
      "RANKCAST_GGUF_HEADER",
    ],
    ["a tensor that begins behind the end", ggufFile([{ ...one, offset: 64 }]), "RANKCAST_TRUNCATED"],
    ["quantised blocks that begin behind the end", ggufFile([{ ...one, type: 2, offset: 128 }]), "RANKCAST_TRUNCATED"],
    ["a tensor past the end", ggufFile([{ ...one, dims: [1000] }]), "RANKCAST_TRUNCATED"],
    [
      "an array of 2^62 elements",
      ggufFile(
        [one],
        [
          (writer) =>
            writer
              .text("k")
              .u32(9)
              .u32(12)
              .count(2n ** 62n),
        ],
      ),
      "RANKCAST_TRUNCATED",
    ],
    ["a header that ends inside a tensor's entry", ggufFile([one]).subarray(0, 40), "RANKCAST_TRUNCATED"],
    ["more tensors than the limit", ggufFile([one], [], { tensorCount: 5_000_000 }), "RANKCAST_LIMIT"],
    ["more metadata than the limit", ggufFile([one], [], { pairCount: 100_001 }), "RANKCAST_LIMIT"],
    ["a name longer than the limit", ggufFile([one], [(writer) => writer.count(2 ** 30)]), "RANKCAST_LIMIT"],
    ["65 axes", ggufFile([{ ...one, dims: Array.from({ length: 65 }, () => 1) }]), "RANKCAST_LIMIT"],
  ] as const) {
    it(`refuses ${why}`, async () => {
      await expectError(code, () => gguf.read(inputOf(file)));
    });
  }

  it("turns every change of one byte and every cut of the header into a result or a typed error", async () => {
    const file = ggufFile(
      [one, { name: "b", dims: [2, 1], type: 1, data: floats.subarray(0, 4) }],
      [(writer) => writer.text("k").u32(9).u32(8).count(1).text("v")],
    );
    for (let at = 0; at < file.length; at += 1) {
      for (const bytes of [
        file.subarray(0, at),
        ...[1, 0x10, 0x80, 0xff].map((flip) => Buffer.from(file).fill((file[at] ?? 0) ^ flip, at, at + 1)),
      ]) {
        try {
          await digestTree(await gguf.read(inputOf(bytes)));
          expect(bytes.length, "a cut file was read").to.be.at.least(file.length - 28);
        } catch (error) {
          if (!(error instanceof CheckpointError)) throw error;
        }
      }
    }
  });
});
