/** Parts of storages, against cutting the bytes themselves. */
import { cutPieces, type StoragePiece, StorageRef } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

describe("cutPieces", () => {
  it("finds the bytes of any part", () => {
    const part = fc.record({ nbytes: fc.nat(5), inline: fc.boolean(), gap: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.nat(25), fc.nat(25), (parts, a, b) => {
        const file: number[] = [];
        const whole: number[] = [];
        const pieces = parts.map(({ nbytes, inline, gap }): StoragePiece => {
          const bytes = Array.from({ length: nbytes }, (_, index) => whole.length + index);
          const at = whole.length;
          whole.push(...bytes);
          if (inline) return { at, nbytes, extent: { type: "inline", bytes: Uint8Array.from([99, ...bytes, 99]).subarray(1, 1 + nbytes) } };
          file.push(...Array.from({ length: gap }, () => 98));
          const offset = file.length;
          file.push(...bytes);
          return { at, nbytes, extent: { type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32: 7 } };
        });
        const begin = Math.min(a, b, whole.length);
        const length = Math.min(Math.max(a, b), whole.length) - begin;
        const cut = cutPieces(new StorageRef({ nbytes: whole.length, pieces }), begin, length);
        const found: number[] = [];
        for (const { at, nbytes, extent } of cut ?? []) {
          expect(at).to.equal(found.length);
          expect(nbytes).to.be.above(0);
          found.push(...(extent.type === "inline" ? extent.bytes : file.slice(extent.offset, extent.offset + extent.storedBytes)));
          expect(found.length).to.equal(at + nbytes);
          const untouched = pieces.some((piece) => piece.extent === extent);
          if (extent.type === "range") expect(extent.crc32).to.equal(untouched ? 7 : null);
        }
        expect(found).to.deep.equal(whole.slice(begin, begin + length));
      }),
      { numRuns: 500 },
    );
  });

  it("cannot cut what only exists after decoding", () => {
    const extent = { type: "range", source: 0, offset: 0, storedBytes: 3, encoding: "deflate", crc32: null } as const;
    const deflated = new StorageRef({ nbytes: 8, pieces: [{ at: 0, nbytes: 8, extent }] });
    expect(cutPieces(deflated, 0, 8)?.length).to.equal(1);
    expect(cutPieces(deflated, 0, 7)).to.equal(null);
    const rectangle = { shape: [8], offsets: [0], sizes: [8], itemBytes: 1 };
    expect(cutPieces(new StorageRef({ nbytes: 8, pieces: [{ at: 0, nbytes: 8, extent, rectangle }] }), 0, 8)).to.equal(null);
  });
});
