/** `handle.rectangle` against the same rectangle of the whole tensor: distributed checkpoints, plain files, views, compressed records. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { digestTensor, openCheckpoint, StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";
import { originServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** Files whose tensors are in one piece, in several ranks' pieces, strided, compressed, big-endian. */
const FILES = [
  "dcp/two_rank",
  "dcp/nested_file_per_tensor",
  "safetensors/basic.safetensors",
  "torch-zip/state_dict_t213.pt",
  "torch-zip/view_transposed_t213.pt",
  "torch-zip/view_expand_t213.pt",
  "torch-zip/rezipped_deflate.pt",
  "torch-zip/big_endian.pt",
];

/** Every rectangle that ends or begins in the middle of some axis, or is the whole. */
function rectangles(shape: readonly number[]): { offsets: number[]; sizes: number[] }[] {
  const cut = (axis: number, begin: number, end: number): { offsets: number[]; sizes: number[] } => ({
    offsets: shape.map((_, each) => (each === axis ? begin : 0)),
    sizes: shape.map((size, each) => (each === axis ? end - begin : size)),
  });
  const middle = shape.map((size) => Math.floor(size / 2));
  return [
    { offsets: shape.map(() => 0), sizes: [...shape] },
    { offsets: middle, sizes: shape.map((size, axis) => size - (middle[axis] ?? 0)) },
    {
      offsets: shape.map((size) => Math.min(1, size)),
      sizes: middle.map((half, axis) => Math.min(half, Math.max((shape[axis] ?? 0) - 1, 0))),
    },
    ...shape.flatMap((size, axis) => [cut(axis, 0, Math.ceil(size / 2)), cut(axis, Math.floor(size / 3), size)]),
  ];
}

describe("rectangles of tensors", () => {
  const server = originServer();
  const directory = temporaryDirectory();

  for (const file of FILES) {
    it(`${file}: are what the whole tensor has there`, async () => {
      await using handle = await openCheckpoint(`${FIXTURES}accepted/${file}`, { scope: "whole" });
      expect(handle.tensors.length).to.be.above(0);
      for (const { name, shape } of handle.tensors) {
        const whole = await handle.tensor(name);
        for (const rectangle of rectangles(shape)) {
          const found = await handle.rectangle(name, rectangle);
          const { dtype, stride, conj, neg, storage } = whole;
          const skipped = rectangle.offsets.reduce((sum, offset, axis) => sum + offset * (stride[axis] ?? 0), 0);
          const storageOffset = whole.storageOffset + skipped;
          const expected = new Tensor({ dtype, shape: rectangle.sizes, stride, storageOffset, storage, conj, neg });
          expect(found.shape, name).to.deep.equal(rectangle.sizes);
          expect(digestTensor(found), `${name} ${JSON.stringify(rectangle)}`).to.equal(digestTensor(expected));
        }
      }
    });
  }

  it("a column costs its bytes, not the rows'", async () => {
    const path = join(directory(), "m.safetensors");
    const values = Float32Array.from({ length: 64 * 65_536 }, (_, at) => at);
    await saveSafetensors(path, new StateDict([["w", Tensor.from(values, [64, 65_536])]]));
    const url = server().serve("/m.safetensors", await readFile(path));
    await using handle = await openCheckpoint(url, { cacheDir: join(directory(), "cache") });
    const before = server().bodyBytes;
    const column = await handle.rectangle("w", { offsets: [0, 1000], sizes: [64, 2] });
    expect(column.data).to.deep.equal(Float32Array.from({ length: 128 }, (_, at) => (at >> 1) * 65_536 + 1000 + (at & 1)));
    expect(server().bodyBytes - before).to.be.below(values.byteLength / 2);
  });

  it("outside the tensor there is none", async () => {
    await using handle = await openCheckpoint(`${FIXTURES}accepted/safetensors/basic.safetensors`);
    const [{ name, shape } = { name: "", shape: [] }] = handle.tensors;
    const bad = [
      { offsets: shape.map(() => 0), sizes: shape.map((size) => size + 1) },
      { offsets: shape.map(() => -1), sizes: shape.map(() => 1) },
      { offsets: shape.map(() => 0.5), sizes: shape.map(() => 0) },
      { offsets: [...shape, 0], sizes: [...shape.map(() => 0), 1] },
    ];
    for (const rectangle of bad) await expectError("RANKCAST_USAGE", handle.rectangle(name, rectangle));
    await expectError("RANKCAST_KEY_UNKNOWN", handle.rectangle("nothing", { offsets: [], sizes: [] }));
  });
});
