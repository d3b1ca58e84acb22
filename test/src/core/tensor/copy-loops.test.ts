import { type LoopNest, planLoops, rowMajorBlocks, splitNest } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

/** All (target, source) word pairs that a nest moves. */
function movesOf({ loops, targetBegin, sourceBegin }: LoopNest): string[] {
  let places = [[targetBegin, sourceBegin]];
  for (const { size, targetStep, sourceStep } of loops) {
    places = places.flatMap(([to = 0, from = 0]) =>
      Array.from({ length: size }, (_, at) => [to + at * targetStep, from + at * sourceStep]),
    );
  }
  return places.map(([to, from]) => `${to}<${from}`);
}

describe("tensor/copy-loops", () => {
  it("makes one loop of what lies behind each other on both sides", () => {
    expect(planLoops([2, 3, 4], [12, 4, 1], [12, 4, 1], 1)).to.deep.equal([{ size: 24, targetStep: 1, sourceStep: 1 }]);
    expect(planLoops([2, 1, 3], [3, 99, 1], [3, 7, 1], 2)).to.deep.equal([{ size: 12, targetStep: 1, sourceStep: 1 }]);
    expect(planLoops([], [], [], 1)).to.deep.equal([]);
  });

  it("takes channels_last apart into three loops, target in memory order", () => {
    // [O=2, I=3, 2, 2] from channels_last to contiguous.
    expect(planLoops([2, 3, 2, 2], [12, 4, 2, 1], [12, 1, 6, 3], 1)).to.deep.equal([
      { size: 2, targetStep: 12, sourceStep: 12 },
      { size: 3, targetStep: 4, sourceStep: 1 },
      { size: 4, targetStep: 1, sourceStep: 3 },
    ]);
  });

  it("cuts nests so that no piece spans too much, and moves the same words", () => {
    const loop = fc.record({ size: fc.integer({ min: 1, max: 5 }), targetStep: fc.nat(40), sourceStep: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(loop, { maxLength: 4 }), fc.integer({ min: 1, max: 60 }), (loops, wordsMax) => {
        const nest = { loops, targetBegin: 3, sourceBegin: 5 };
        const pieces = [...splitNest(nest, wordsMax)];
        for (const piece of pieces) {
          expect(piece.loops.reduce((span, { size, targetStep }) => span + (size - 1) * targetStep, 1)).to.be.at.most(wordsMax);
          expect(piece.loops.reduce((span, { size, sourceStep }) => span + (size - 1) * sourceStep, 1)).to.be.at.most(wordsMax);
        }
        expect(pieces.flatMap(movesOf).sort()).to.deep.equal(movesOf(nest).sort());
      }),
    );
  });
});

describe("tensor/strided-view rowMajorBlocks", () => {
  it("covers a shape in order, without gaps, within the bound", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(6), { maxLength: 4 }), fc.integer({ min: 1, max: 50 }), (shape, elementsMax) => {
        let next = 0;
        for (const block of rowMajorBlocks(shape, elementsMax)) {
          expect(block.first).to.equal(next);
          expect(block.count).to.be.at.most(elementsMax);
          expect(block.shape.reduce((product, size) => product * size, 1)).to.equal(block.count);
          const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
          expect(block.begin.reduce((sum, index, axis) => sum + index * (strides[axis] ?? 0), 0)).to.equal(block.first);
          next += block.count;
        }
        expect(next).to.equal(shape.reduce((product, size) => product * size, 1));
      }),
    );
  });

  it("cuts as coarsely as it may", () => {
    expect([...rowMajorBlocks([4, 10], 25)].map(({ count }) => count)).to.deep.equal([20, 20]);
    expect([...rowMajorBlocks([2, 30], 25)].map(({ count }) => count)).to.deep.equal([25, 5, 25, 5]);
  });
});
