/** Differences between generations: exact, small where little changed, refused when damaged or of another generation. */
import { applyDelta, BLOCK_BYTES, blocksOf, encodeDelta, PAGE_BYTES } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.js";
import { randomBytes } from "../../support/random-bytes.js";

/** Runs of this many bytes, filled from a seed. */
function segments(sizes: readonly number[], seed: number): Uint8Array[] {
  return sizes.map((size, index) => Uint8Array.from(randomBytes(size, seed + index)));
}

function copyOf(runs: readonly Uint8Array[]): Uint8Array[] {
  return runs.map((run) => run.slice());
}

async function roundTrip(base: readonly Uint8Array[], next: readonly Uint8Array[]): Promise<number | null> {
  const encoded = await encodeDelta(blocksOf(base), blocksOf(next));
  if (encoded === null) return null;
  const target = base.map((run) => new Uint8Array(run.length).fill(0xaa));
  await applyDelta(blocksOf(base), encoded.bytes, blocksOf(target));
  for (const [index, run] of target.entries()) expect(Buffer.compare(run, next[index] ?? new Uint8Array(0))).to.equal(0);
  return encoded.bytes.length;
}

describe("delta of two generations", () => {
  it("nothing changed: a header", async () => {
    const base = segments([3 * BLOCK_BYTES + 5, 100], 1);
    expect(await roundTrip(base, copyOf(base))).to.equal(20);
  });

  it("any bytes of any runs: the new state exactly", async () => {
    const run = fc.integer({ min: 0, max: 3 * PAGE_BYTES });
    const change = fc.record({ run: fc.nat(4), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(run, { minLength: 1, maxLength: 5 }), fc.array(change, { maxLength: 40 }), async (sizes, changes) => {
        const base = segments(sizes, 7);
        const next = copyOf(base);
        for (const { run: index, at, value } of changes) {
          const bytes = next[index % next.length];
          if (bytes && bytes.length > 0) bytes[at % bytes.length] = value;
        }
        await roundTrip(base, next);
      }),
      { numRuns: 200 },
    );
  });

  it("across blocks, with a short last page and unaligned runs", async () => {
    const memory = Uint8Array.from(randomBytes(2 * BLOCK_BYTES + PAGE_BYTES + 13, 3));
    const base = [memory.subarray(1, BLOCK_BYTES + PAGE_BYTES + 8), memory.subarray(BLOCK_BYTES + PAGE_BYTES + 9)];
    const next = copyOf(base);
    for (const run of next) for (const at of [0, 5, PAGE_BYTES - 1, PAGE_BYTES, run.length - 1]) run[at] = (run[at] ?? 0) ^ 0x5a;
    expect(await roundTrip(base, next)).to.be.below(10_000);
  });

  it("one in a hundred elements changed in its last bits: under 5 % of the bytes", async () => {
    const base = [new Uint8Array(Float32Array.from({ length: 4 * 2 ** 20 }, (_, index) => Math.sin(index)).buffer)];
    const next = copyOf(base);
    const words = new Uint32Array((next[0] as Uint8Array).buffer);
    // Every page has changed elements, so that only XOR and compression can save anything.
    for (let at = 0; at < words.length; at += 100) words[at] = (words[at] ?? 0) ^ (1 + (at % 7));
    const bytes = await roundTrip(base, next);
    expect(bytes).to.be.below(0.05 * 16 * 2 ** 20);
  });

  it("everything changed: not worth it, and that is noticed early", async () => {
    const base = segments([8 * BLOCK_BYTES], 11);
    expect(await roundTrip(base, segments([8 * BLOCK_BYTES], 12))).to.equal(null);
  });

  it("another old state, any flipped byte, any truncation: refused, never another state", async () => {
    const base = segments([3 * PAGE_BYTES], 21);
    const next = copyOf(base);
    next[0]?.fill(7, PAGE_BYTES, 2 * PAGE_BYTES);
    const { bytes } = (await encodeDelta(blocksOf(base), blocksOf(next))) ?? { bytes: new Uint8Array(0) };
    const apply = (delta: Uint8Array, from = base): Promise<unknown> =>
      applyDelta(blocksOf(from), delta, blocksOf(segments([3 * PAGE_BYTES], 0)));
    await expectError("RANKCAST_DELTA", apply(bytes, segments([3 * PAGE_BYTES], 22)));
    for (let length = 0; length < bytes.length; length += 7) await expectError("RANKCAST_DELTA", apply(bytes.subarray(0, length)));
    await expectError("RANKCAST_DELTA", apply(Uint8Array.from([...bytes, 0])));
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      const target = segments([3 * PAGE_BYTES], 0);
      try {
        await applyDelta(blocksOf(base), damaged, blocksOf(target));
        // Bits of the bitmap beyond the last page, and some bits of deflate's, mean nothing.
        expect(Buffer.compare(target[0] as Uint8Array, next[0] as Uint8Array), `byte ${at}`).to.equal(0);
      } catch (error) {
        expect(error, `byte ${at}`).to.include({ code: "RANKCAST_DELTA", class: "integrity" });
      }
    }
  });
});
