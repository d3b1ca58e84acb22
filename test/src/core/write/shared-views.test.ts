/** Which views are the same and which overlap, against comparing every pair. */
import { Storage, Tensor } from "@rankcast/core";
import { findSharedViews } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const buffers = [new ArrayBuffer(64), new SharedArrayBuffer(64)];

const view = fc.record({
  buffer: fc.nat(1),
  begin: fc.nat(8),
  dtype: fc.constantFrom("uint8", "int16", "float16"),
  shape: fc.array(fc.nat(3), { maxLength: 2 }),
  stride: fc.tuple(fc.nat(4), fc.nat(4)),
  offset: fc.nat(4),
});

describe("findSharedViews", () => {
  it("keeps one of equal views and groups what overlaps", () => {
    fc.assert(
      fc.property(fc.array(view, { maxLength: 8 }), (drafts) => {
        const tensors = new Map<string, Tensor>(
          drafts.map(({ buffer, begin, dtype, shape, stride, offset }, index) => {
            const storage = new Storage(buffers[buffer] as ArrayBufferLike, begin * 2, 64 - begin * 2);
            return [
              `t${index}`,
              new Tensor({ dtype: dtype as "uint8", shape, stride: stride.slice(0, shape.length), storageOffset: offset, storage }),
            ] as const;
          }),
        );
        const { kept, aliases, overlapping } = findSharedViews(tensors, () => true);
        const cells = new Map([...tensors].map(([name, tensor]) => [name, touched(tensor)]));
        for (const [dropped, keptName] of aliases) {
          const [a, b] = [tensors.get(dropped), tensors.get(keptName)] as [Tensor, Tensor];
          expect([a.dtype, a.shape, cells.get(dropped)]).to.deep.equal([b.dtype, b.shape, cells.get(keptName)]);
          expect(kept).to.include(keptName).and.not.include(dropped);
        }
        expect([...kept, ...aliases.map(([name]) => name)]).to.have.members([...tensors.keys()]);
        for (const a of kept)
          for (const b of kept) {
            const [left, right] = [tensors.get(a), tensors.get(b)] as [Tensor, Tensor];
            const same =
              a !== b &&
              left.dtype === right.dtype &&
              String(left.shape) === String(right.shape) &&
              cells.get(a)?.length !== 0 &&
              String(cells.get(a)) === String(cells.get(b));
            expect(same, `${a} and ${b} are one view`).to.equal(false);
            const shares = a !== b && cells.get(a)?.some((cell) => cells.get(b)?.includes(cell));
            if (shares)
              expect(
                overlapping.some((group) => group.includes(a) && group.includes(b)),
                `${a} and ${b} overlap`,
              ).to.equal(true);
          }
        for (const group of overlapping) {
          expect(group.length).to.be.above(1);
          expect(new Set(group.map((name) => tensors.get(name)?.storage.buffer)).size).to.equal(1);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("does not take neighbours for overlapping", () => {
    const storage = Storage.allocate(8);
    const half = (offset: number) => new Tensor({ dtype: "uint8", shape: [4], storageOffset: offset, storage });
    expect(
      findSharedViews(
        new Map([
          ["a", half(0)],
          ["b", half(4)],
        ]),
        () => true,
      ).overlapping,
    ).to.deep.equal([]);
    expect(
      findSharedViews(
        new Map([
          ["a", half(0)],
          ["b", half(3)],
        ]),
        () => true,
      ).overlapping,
    ).to.deep.equal([["a", "b"]]);
  });
});

/** Every element's first byte with its memory, in the order of elements. */
function touched({ storage, dtype, shape, stride, storageOffset }: Tensor): string[] {
  const itemBytes = dtype === "uint8" ? 1 : 2;
  let offsets = [storageOffset];
  for (const [axis, size] of shape.entries())
    offsets = offsets.flatMap((offset) => Array.from({ length: size }, (_, index) => offset + index * (stride[axis] ?? 0)));
  return offsets.flatMap((offset) =>
    Array.from(
      { length: itemBytes },
      (_, byte) => `${buffers.indexOf(storage.buffer as ArrayBuffer)}:${storage.byteOffset + offset * itemBytes + byte}`,
    ),
  );
}
