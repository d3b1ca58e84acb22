import { tileExactly } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

type Box = { offsets: number[]; sizes: number[] };

/** Counts every element: slow and plainly right. */
function tilesByCounting(boxes: readonly Box[], shape: readonly number[]): boolean {
  const counts = new Map<string, number>();
  const visit = (box: Box, index: number[]): void => {
    if (index.length === shape.length) counts.set(String(index), (counts.get(String(index)) ?? 0) + 1);
    else {
      const axis = index.length;
      for (let step = 0; step < (box.sizes[axis] ?? 0); step += 1) visit(box, [...index, (box.offsets[axis] ?? 0) + step]);
    }
  };
  for (const box of boxes) visit(box, []);
  return counts.size === shape.reduce((product, size) => product * size, 1) && [...counts.values()].every((count) => count === 1);
}

/** Cuts a box in two, again and again. */
function cut(shape: readonly number[], cuts: readonly [number, number, number][]): Box[] {
  const boxes: Box[] = [{ offsets: shape.map(() => 0), sizes: [...shape] }];
  for (const [which, along, where] of cuts) {
    const box = boxes[which % boxes.length];
    if (!box) continue;
    const axis = along % shape.length;
    const size = box.sizes[axis] ?? 0;
    const first = size === 0 ? 0 : where % size;
    boxes.push({
      offsets: box.offsets.map((offset, each) => (each === axis ? offset + first : offset)),
      sizes: box.sizes.map((old, each) => (each === axis ? size - first : old)),
    });
    box.sizes[axis] = first;
  }
  return boxes;
}

const cuts = fc.array(fc.tuple(fc.nat(9), fc.nat(3), fc.nat(9)), { maxLength: 6 });
const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });

describe("tileExactly", () => {
  it("accepts every way of cutting a tensor", () => {
    fc.assert(
      fc.property(shapes, cuts, (shape, each) => tileExactly(cut(shape, each), shape) === true),
      { numRuns: 300 },
    );
  });

  it("agrees with counting when a cut tensor is spoiled", () => {
    fc.assert(
      fc.property(shapes, cuts, fc.nat(9), fc.nat(2), fc.constantFrom(-1, 1), (shape, each, which, along, by) => {
        const boxes = cut(shape, each);
        const box = boxes[which % boxes.length];
        const axis = along % shape.length;
        if (box) box.offsets[axis] = Math.max(0, Math.min((shape[axis] ?? 0) - (box.sizes[axis] ?? 0), (box.offsets[axis] ?? 0) + by));
        return tileExactly(boxes, shape) === tilesByCounting(boxes, shape);
      }),
      { numRuns: 300 },
    );
  });

  it("knows empty tensors, single boxes and boxes twice", () => {
    const whole = { offsets: [0, 0], sizes: [2, 3] };
    expect(tileExactly([whole], [2, 3])).to.equal(true);
    expect(tileExactly([whole, whole], [2, 3])).to.equal(false);
    expect(tileExactly([], [2, 3])).to.equal(false);
    expect(tileExactly([], [0, 3])).to.equal(true);
    expect(tileExactly([{ offsets: [], sizes: [] }], [])).to.equal(true);
  });

  it("gives up rather than hang on absurd ranks", () => {
    const rank = new Array<number>(40).fill(2);
    const boxes = [0, 1].map((at) => ({ offsets: rank.map(() => at), sizes: rank.map(() => 1) }));
    expect(tileExactly(boxes, rank)).to.equal(null);
  });
});
