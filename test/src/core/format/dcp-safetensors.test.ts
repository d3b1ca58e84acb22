/** Distributed checkpoints whose parts are safetensors files, as `HuggingFaceStorageWriter(save_sharded=True)` writes them. */
import { createHash } from "node:crypto";
import { compileLimits } from "@rankcast/core";
import { readCheckpoint, resolved, safetensors, type TensorRef, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { inspectTree } from "../../conformance/inspect-fixture.ts";
import { expectError } from "../../support/expect-error.js";
import { inputOf, memorySiblings, safetensorsFile, tensorBytes } from "./sources.ts";

describe("distributed checkpoints in safetensors files", () => {
  const shardFile = (tensors: Record<string, { shape: number[]; at?: number[]; bytes: number[] }>, info?: unknown): Buffer => {
    const places = Object.fromEntries(Object.entries(tensors).map(([name, { at }]) => [name, { saved_offsets: at }]));
    let begin = 0;
    const entries = Object.entries(tensors).map(([name, { shape, bytes }]) => {
      const entry = [name, { dtype: "U8", shape, data_offsets: [begin, begin + bytes.length] }];
      begin += bytes.length;
      return entry;
    });
    const metadata = info === null ? {} : { __metadata__: { DCP_SHARDING_INFO: JSON.stringify(info ?? places), DCP_VERSION: "1.0" } };
    return safetensorsFile(
      JSON.stringify({ ...metadata, ...Object.fromEntries(entries) }),
      Uint8Array.from(Object.values(tensors).flatMap(({ bytes }) => bytes)),
    );
  };
  const name = (rank: number) => `shard-0000${rank}-model-00001-of-00001.safetensors`;
  const readDirectory = (files: ReadonlyMap<string, Uint8Array>) =>
    readCheckpoint(resolved("dir", null, memorySiblings(files)), { limits: compileLimits() });

  it("joins the files of a directory, whichever is opened", async () => {
    const files = new Map([
      [name(1), shardFile({ w: { shape: [2, 1], at: [0, 0], bytes: [1, 4] }, r: { shape: [2], at: [0], bytes: [9, 8] } })],
      [name(2), shardFile({ w: { shape: [2, 2], at: [0, 1], bytes: [2, 3, 5, 6] }, e: { shape: [0, 2], at: [0, 0], bytes: [] } })],
    ]);
    const trees = [
      await readDirectory(files),
      ...(await Promise.all([...files].map(([file, bytes]) => Promise.resolve(safetensors.read(inputOf(bytes, { name: file, files })))))),
    ];
    for (const tree of trees) {
      expect(tree.format).to.equal("dcp");
      const { entries } = tree.root as TreeDict;
      const w = entries.get("w") as TensorRef;
      expect([[...entries.keys()], w.shape, [...(await tensorBytes(tree, w))]]).to.deep.equal([
        ["w", "r", "e"],
        [2, 3],
        [1, 2, 3, 4, 5, 6],
      ]);
      expect([...tree.fileMetadata]).to.deep.equal([["DCP_VERSION", "1.0"]]);
    }
  });

  it("is brought into memory rectangle by rectangle", async () => {
    const corner = (shape: number[], at: number[], from: number) =>
      shardFile({ w: { shape, at, bytes: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, index) => from + index) } });
    const files = new Map([
      [name(1), corner([2, 3], [0, 0], 0)],
      [name(2), corner([2, 2], [0, 3], 10)],
      [name(3), corner([1, 5], [2, 0], 20)],
    ]);
    const tree = await readDirectory(files);
    expect(
      ((tree.root as TreeDict).entries.get("w") as TensorRef).storage.pieces.every(({ rectangle }) => rectangle !== undefined),
    ).to.equal(true);
    const whole = Uint8Array.of(0, 1, 2, 10, 11, 3, 4, 5, 12, 13, 20, 21, 22, 23, 24);
    const { tensors } = await inspectTree(tree);
    expect(tensors).to.deep.equal([{ name: "w", dtype: "uint8", shape: [3, 5], sha256: createHash("sha256").update(whole).digest("hex") }]);
  });

  it("reads files of whole tensors beside files of chunks, and counts chunks", async () => {
    const files = new Map([
      [name(1), shardFile({ w: { shape: [1], at: [0], bytes: [1] } })],
      ["rest.safetensors", shardFile({ r: { shape: [2], bytes: [7, 8] } }, null)],
    ]);
    const tree = await readDirectory(files);
    const r = (tree.root as TreeDict).entries.get("r") as TensorRef;
    expect([...(await tensorBytes(tree, r))]).to.deep.equal([7, 8]);
    const file = inputOf(files.get(name(1)) as Uint8Array, { name: name(1), files, limits: { dcpChunks: 1 } });
    expect((await expectError("RANKCAST_LIMIT", () => safetensors.read(file))).details["limit"]).to.equal("dcpChunks");
    await safetensors.read({ ...file, limits: compileLimits({ dcpChunks: 2 }) });
  });

  it("never takes one rank's file for the whole", async () => {
    const file = shardFile({ w: { shape: [1], at: [0], bytes: [1] } });
    expect((await expectError("RANKCAST_UNSUPPORTED", () => safetensors.read(inputOf(file, { name: name(1) })))).remedy).to.contain(
      "directory",
    );
    await expectError("RANKCAST_UNSUPPORTED", () =>
      safetensors.read({ ...inputOf(file, { name: name(1), files: new Map([[name(1), file]]) }), nesting: 1 }),
    );
  });

  for (const [why, files, code] of [
    [
      "a hole",
      [shardFile({ w: { shape: [1], at: [0], bytes: [1] } }), shardFile({ w: { shape: [1], at: [2], bytes: [1] } })],
      "RANKCAST_DCP_CHUNKS",
    ],
    [
      "an overlap",
      [shardFile({ w: { shape: [2], at: [0], bytes: [1, 2] } }), shardFile({ w: { shape: [2], at: [1], bytes: [1, 2] } })],
      "RANKCAST_DCP_CHUNKS",
    ],
    [
      "chunks of two ranks",
      [shardFile({ w: { shape: [2], at: [0], bytes: [1, 2] } }), shardFile({ w: { shape: [2, 1], at: [2, 0], bytes: [1, 2] } })],
      "RANKCAST_DCP_CHUNKS",
    ],
    ["a name without a place", [shardFile({ w: { shape: [1], bytes: [1] } }, {})], "RANKCAST_DCP_METADATA"],
    ["a place of another rank", [shardFile({ w: { shape: [1], at: [0, 0], bytes: [1] } })], "RANKCAST_DCP_METADATA"],
    ["a negative place", [shardFile({ w: { shape: [1], at: [-1], bytes: [1] } })], "RANKCAST_DCP_METADATA"],
    ["places that are no object", [shardFile({ w: { shape: [1], bytes: [1] } }, [1])], "RANKCAST_DCP_METADATA"],
  ] as const) {
    it(`refuses ${why}`, async () => {
      await expectError(code, () => readDirectory(new Map(files.map((bytes, index) => [name(index + 1), bytes]))));
    });
  }
});
