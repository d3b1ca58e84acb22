/** Chunks, rectangles and paths of distributed checkpoints. What torch wrote itself is read by the conformance suite. */
import { FormatError } from "@rankcast/core";
import {
  assembleChunks,
  type CheckpointTree,
  type DcpChunk,
  memorySource,
  nestLeaves,
  rectangleRuns,
  StorageRef,
  TensorRef,
  type TreeDict,
  type TreeList,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { tensorBytes } from "./sources.ts";

const WHERE = { file: ".metadata", name: "w" };

/** Every cell of a grid over `shape`, with cuts after these positions. */
function gridCells(shape: readonly number[], cuts: readonly (readonly number[])[]): { offsets: number[]; sizes: number[] }[] {
  let cells: { offsets: number[]; sizes: number[] }[] = [{ offsets: [], sizes: [] }];
  for (const [axis, size] of shape.entries()) {
    const edges = [...new Set([0, ...(cuts[axis] ?? []).filter((cut) => cut < size), size])].sort((a, b) => a - b);
    const spans = edges.slice(1).map((edge, index) => [edges[index] ?? 0, edge - (edges[index] ?? 0)] as const);
    cells = cells.flatMap(({ offsets, sizes }) =>
      spans.map(([offset, length]) => ({ offsets: [...offsets, offset], sizes: [...sizes, length] })),
    );
  }
  return cells;
}

const product = (numbers: readonly number[]) => numbers.reduce((all, each) => all * each, 1);

/** Row-major position in the whole of the cell's element `index` (row-major in the cell). */
function positionOf(shape: readonly number[], cell: { offsets: number[]; sizes: number[] }, index: number): number {
  let rest = index;
  let at = 0;
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    at += ((rest % (cell.sizes[axis] ?? 1)) + (cell.offsets[axis] ?? 0)) * step;
    rest = Math.floor(rest / (cell.sizes[axis] ?? 1));
    step *= shape[axis] ?? 1;
  }
  return at;
}

/** A chunk of int16 values that count the elements of the whole, in a source of its own; axes stored in `order`, `pad` elements in front. */
function chunkOf(
  shape: readonly number[],
  cell: { offsets: number[]; sizes: number[] },
  source: number,
  order: readonly number[],
  pad: number,
): { chunk: DcpChunk; bytes: Uint8Array } {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (const axis of [...order].reverse()) {
    strides[axis] = step;
    step *= Math.max(cell.sizes[axis] ?? 1, 1);
  }
  const count = product(cell.sizes);
  const values = new Int16Array(pad + count).fill(-1);
  for (let index = 0; index < count; index += 1) {
    let rest = index;
    let at = pad;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      at += (rest % (cell.sizes[axis] ?? 1)) * (strides[axis] ?? 0);
      rest = Math.floor(rest / (cell.sizes[axis] ?? 1));
    }
    values[at] = positionOf(shape, cell, index);
  }
  const extent = { type: "range", source, offset: 0, storedBytes: values.byteLength, encoding: "stored", crc32: null } as const;
  const storage = new StorageRef({
    nbytes: values.byteLength,
    pieces: values.byteLength === 0 ? [] : [{ at: 0, nbytes: values.byteLength, extent }],
  });
  const leaf = new TensorRef({ dtype: "int16", shape: cell.sizes, stride: strides, storageOffset: pad, storage });
  return { chunk: { ...cell, leaf }, bytes: new Uint8Array(values.buffer) };
}

const tiling = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    cuts: fc.tuple(...shape.map(() => fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }))),
    order: fc.shuffledSubarray(
      shape.map((_, axis) => axis),
      { minLength: shape.length, maxLength: shape.length },
    ),
    pad: fc.constantFrom(0, 0, 3),
    seed: fc.nat(),
  }),
);

function buildTiling({ shape, cuts, order, pad }: { shape: number[]; cuts: number[][]; order: number[]; pad: number }): {
  chunks: DcpChunk[];
  tree: CheckpointTree;
} {
  const made = gridCells(shape, cuts).map((cell, index) => chunkOf(shape, cell, index, order, pad));
  const sources = made.map(({ bytes }) => memorySource(bytes));
  return {
    chunks: made.map(({ chunk }) => chunk),
    tree: { format: "dcp", root: null, sources, checksums: "absent", fileMetadata: new Map(), warnings: [] },
  };
}

describe("distributed checkpoints", () => {
  it("puts any grid of chunks together, in any storage order", async () => {
    await fc.assert(
      fc.asyncProperty(tiling, async (draft) => {
        const { chunks, tree } = buildTiling(draft);
        const rotated = chunks.slice(draft.seed % chunks.length).concat(chunks.slice(0, draft.seed % chunks.length));
        const whole = assembleChunks({ ...WHERE, shape: draft.shape }, rotated);
        const values = new Int16Array((await tensorBytes(tree, whole)).slice().buffer);
        expect([...values]).to.deep.equal(Array.from({ length: product(draft.shape) }, (_, index) => index));
      }),
      { numRuns: 1000 },
    );
  });

  it("refuses a grid with a chunk missing, twice, moved, or of another type", () => {
    fc.assert(
      fc.property(tiling, fc.constantFrom("missing", "twice", "moved"), (draft, fault) => {
        const { chunks } = buildTiling(draft);
        const [first] = chunks as [DcpChunk];
        const broken =
          fault === "missing"
            ? chunks.slice(1)
            : fault === "twice"
              ? [...chunks, first]
              : [{ ...first, offsets: first.offsets.map((offset) => offset + 1) }, ...chunks.slice(1)];
        if (fault === "moved" && draft.shape.length === 0) return;
        expect(() => assembleChunks({ ...WHERE, shape: draft.shape }, broken))
          .to.throw(FormatError)
          .with.property("code", "RANKCAST_DCP_CHUNKS");
      }),
      { numRuns: 200 },
    );
    const { chunks } = buildTiling({ shape: [4], cuts: [[2]], order: [0], pad: 0 });
    const [a, b] = chunks as [DcpChunk, DcpChunk];
    const other = { ...b, leaf: b.leaf.with({ dtype: "float16" }) };
    expect(() => assembleChunks({ ...WHERE, shape: [4] }, [a, other])).to.throw(/chunks of int16 and of float16/);
    const wrong = { ...b, leaf: b.leaf.with({ shape: [1], stride: [1] }) };
    expect(() => assembleChunks({ ...WHERE, shape: [4] }, [a, wrong])).to.throw(/whose file holds \[1\]/);
    const lazy = { ...b, leaf: b.leaf.with({ neg: true }) };
    expect(() => assembleChunks({ ...WHERE, shape: [4] }, [a, lazy]))
      .to.throw(FormatError)
      .with.property("class", "unsupported");
  });

  it("keeps chunks of rows as plain runs and other tilings as rectangles", () => {
    const rows = buildTiling({ shape: [4, 3], cuts: [[1, 2], []], order: [0, 1], pad: 0 });
    const byRows = assembleChunks({ ...WHERE, shape: [4, 3] }, rows.chunks).storage.pieces;
    expect(byRows.map(({ at, nbytes, rectangle }) => [at, nbytes, rectangle])).to.deep.equal([
      [0, 6, undefined],
      [6, 6, undefined],
      [12, 12, undefined],
    ]);
    const columns = buildTiling({ shape: [4, 3], cuts: [[], [1]], order: [0, 1], pad: 0 });
    const byColumns = assembleChunks({ ...WHERE, shape: [4, 3] }, columns.chunks).storage.pieces;
    expect(byColumns.map(({ rectangle }) => rectangle)).to.deep.equal([
      { shape: [4, 3], offsets: [0, 0], sizes: [4, 1], itemBytes: 2 },
      { shape: [4, 3], offsets: [0, 1], sizes: [4, 2], itemBytes: 2 },
    ]);
  });

  it("finds the bytes of any rectangle in any tiling, each once", () => {
    const boxed = tiling.chain((draft) =>
      fc.record({
        draft: fc.constant({ ...draft, order: draft.order.map((_, axis) => axis) }),
        box: fc.tuple(...draft.shape.map((size) => fc.tuple(fc.integer({ min: 0, max: size }), fc.integer({ min: 0, max: size })))),
      }),
    );
    fc.assert(
      fc.property(boxed, ({ draft, box }) => {
        const { chunks } = buildTiling(draft);
        const bytes = gridCells(draft.shape, draft.cuts).map(
          (cell, index) => chunkOf(draft.shape, cell, index, draft.order, draft.pad).bytes,
        );
        const whole = assembleChunks({ ...WHERE, shape: draft.shape }, chunks);
        const offsets = box.map(([a, b]) => Math.min(a, b));
        const sizes = box.map(([a, b]) => Math.abs(a - b));
        const target = new Int16Array(product(sizes)).fill(-2);
        const into = new Uint8Array(target.buffer);
        let copied = 0;
        for (const { piece, from, at, nbytes } of rectangleRuns(whole, { offsets, sizes })) {
          const { extent } = piece;
          if (extent.type !== "range") throw new Error("inline");
          into.set((bytes[extent.source] as Uint8Array).subarray(extent.offset + from, extent.offset + from + nbytes), at);
          copied += nbytes;
        }
        expect(copied).to.equal(into.length);
        expect([...target]).to.deep.equal(Array.from(target, (_, index) => positionOf(draft.shape, { offsets, sizes }, index)));
      }),
      { numRuns: 500 },
    );
  });

  it("reads whole rows as one run, and refuses rectangles outside or of strided tensors", () => {
    const { chunks } = buildTiling({ shape: [4, 3], cuts: [[], []], order: [0, 1], pad: 0 });
    const whole = assembleChunks({ ...WHERE, shape: [4, 3] }, chunks);
    const runs = [...rectangleRuns(whole, { offsets: [1, 0], sizes: [2, 3] })];
    expect(runs.map(({ from, at, nbytes }) => [from, at, nbytes])).to.deep.equal([[6, 0, 12]]);
    expect(() => [...rectangleRuns(whole, { offsets: [1, 0], sizes: [4, 3] })]).to.throw(RangeError);
    const strided = whole.with({ shape: [3, 4], stride: [1, 3] });
    expect(() => [...rectangleRuns(strided, { offsets: [0, 0], sizes: [1, 1] })]).to.throw(FormatError);
  });

  it("puts flat names back into dicts and lists, in whatever order they come", () => {
    const leaf = (value: number, ...path: (string | number)[]) => ({ name: path.join("."), path, value });
    const root = nestLeaves(
      [leaf(3, "opt", "groups", 1, "lr"), leaf(1, "model", "w"), leaf(2, "opt", "groups", 0, "lr"), leaf(4, "__proto__", "x")],
      "f",
    );
    const groups = (root.entries.get("opt") as TreeDict).entries.get("groups") as TreeList;
    expect(groups.elements.map((each) => (each as TreeDict).entries.get("lr"))).to.deep.equal([2, 3]);
    expect((root.entries.get("__proto__") as TreeDict).entries.get("x")).to.equal(4);
    for (const leaves of [
      [leaf(1, "a"), leaf(2, "a", "b")],
      [leaf(1, "a", "b"), leaf(2, "a")],
      [leaf(1, "a"), leaf(2, "a")],
      [leaf(1, "a", 1), leaf(1, "b")],
      [leaf(1, "a", 2 ** 40)],
      [leaf(1, "a", 0), leaf(2, "a", "x")],
    ])
      expect(() => nestLeaves(leaves, "f"), JSON.stringify(leaves))
        .to.throw(FormatError)
        .with.property("code", "RANKCAST_DCP_METADATA");
  });
});
