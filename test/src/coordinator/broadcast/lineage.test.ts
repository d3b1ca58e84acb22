/** Generations that a node keeps: every one is exact however those before it came, and memory is used again (Linux, mapped). */
import { readFileSync } from "node:fs";
import { Lineage } from "@rankcast/coordinator/internal";
import { createRewritableSegment, nativeMemory, PAGE_BYTES } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.js";
import { randomBytes } from "../../support/random-bytes.js";

const SIZES = [5 * PAGE_BYTES + 17, 1, 3 * PAGE_BYTES];

/** A source that keeps two sets, a node that follows it, and what every generation must be. */
class Pair {
  readonly native = nativeMemory(false) as NonNullable<ReturnType<typeof nativeMemory>>;
  readonly released: string[] = [];
  readonly source = new Lineage(SIZES, this.native, (set) => this.released.push(set));
  readonly node = new Lineage(SIZES, this.native, (set) => this.released.push(set));
  readonly ranks = [0, 1].map((id) => ({
    id: `rank's ${id}`,
    segments: SIZES.map((nbytes) => createRewritableSegment(nbytes, this.native)),
  }));
  bytes = SIZES.map((nbytes, index) => Uint8Array.from(randomBytes(nbytes, index)));
  generation = 0;
  /** What both sides have. */
  base: number | null = null;
  readonly sets = new Set<string>();

  /** The source's rank makes a generation of its own out of the current bytes. */
  make(): number {
    this.generation += 1;
    const rank = this.ranks[this.generation % 2] as (typeof this.ranks)[number];
    rank.segments.forEach(({ buffer }, index) => {
      new Uint8Array(buffer).set(this.bytes[index] as Uint8Array);
    });
    const descriptors = rank.segments.map((segment) => segment.publish());
    this.source.hold(this.generation, rank.id, descriptors);
    return this.generation;
  }

  /** It comes whole, in pieces. */
  whole(generation: number): void {
    const { write } = this.node.fill(generation);
    this.bytes.forEach((bytes, segment) => {
      for (let at = 0; at < bytes.length; at += 1000) write(segment, bytes.subarray(at, at + 1000), at);
    });
    this.look(this.node.filled(generation));
  }

  /** It comes as a difference from the base, or whole when there is none. */
  async difference(generation: number, damage = false): Promise<void> {
    const encoded = this.base === null ? null : await this.source.encode(generation, this.base);
    if (!encoded || this.base === null) {
      this.whole(generation);
      return;
    }
    if (damage) encoded.bytes[4] = (encoded.bytes[4] ?? 0) ^ 1;
    this.look(await this.node.apply(generation, this.base, encoded.bytes));
  }

  look({ id, descriptors }: { readonly id: string; readonly descriptors: readonly { readonly path: string }[] }): void {
    this.sets.add(id);
    descriptors.forEach(({ path }, index) => {
      expect(readFileSync(path).equals(this.bytes[index] as Uint8Array), `generation ${this.generation}, segment ${index}`).to.equal(true);
    });
  }

  passed(generation: number): void {
    this.base = generation;
    this.source.retain([generation]);
    this.node.retain([generation]);
  }

  failed(generation: number): void {
    this.source.drop(generation);
    this.node.drop(generation);
    // Its rank writes the same set again.
    this.generation += 1;
  }

  close(): void {
    this.source.close();
    this.node.close();
    for (const { segments } of this.ranks) for (const segment of segments) segment.release();
  }
}

describe("generations that a node keeps (Linux)", () => {
  before(function () {
    if (process.platform !== "linux" || nativeMemory(false) === null) this.skip();
  });

  it("any run of whole, changed, damaged and failed generations: exact, in two sets", async () => {
    const change = fc.record({ segment: fc.nat(2), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
    const step = fc.record({
      how: fc.constantFrom("whole", "difference", "difference", "damaged", "failed", "failed difference"),
      changes: fc.array(change, { maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const pair = new Pair();
        try {
          for (const { how, changes } of steps) {
            pair.bytes = pair.bytes.map((bytes) => bytes.slice());
            for (const { segment, at, value } of changes) {
              const bytes = pair.bytes[segment] as Uint8Array;
              bytes[at % bytes.length] = value;
            }
            const generation = pair.make();
            if (how === "whole" || how === "failed") pair.whole(generation);
            else if (how !== "damaged") await pair.difference(generation);
            else if (pair.base === null) pair.whole(generation);
            else {
              await expectError("RANKCAST_DELTA", pair.difference(generation, true));
              // Dropped by whoever gets the refusal, and brought again.
              pair.node.drop(generation);
              pair.whole(generation);
            }
            if (how.startsWith("failed")) pair.failed(generation);
            else pair.passed(generation);
          }
          expect(pair.sets.size).to.be.at.most(2);
        } finally {
          pair.close();
        }
      }),
      { numRuns: 100 },
    );
  });

  it("a node that is behind, or has another base, refuses a difference, and what it has stays whole", async () => {
    const pair = new Pair();
    try {
      const first = pair.make();
      pair.whole(first);
      pair.passed(first);
      const kept = pair.bytes;
      pair.bytes = pair.bytes.map((bytes) => bytes.slice().fill(7, 0, 100));
      const second = pair.make();
      const encoded = await pair.source.encode(second, first);
      if (!encoded) throw new Error("nothing was encoded");
      const behind = new Lineage(SIZES, pair.native, () => undefined);
      await expectError("RANKCAST_DELTA", behind.apply(second, first, encoded.bytes));
      // The same generation by name, other bytes.
      const { write, set } = behind.fill(first);
      kept.forEach((bytes, segment) => {
        write(segment, bytes, 0);
        write(segment, Uint8Array.of((bytes[0] ?? 0) ^ 1), 0);
      });
      behind.filled(first);
      await expectError("RANKCAST_DELTA", behind.apply(second, first, encoded.bytes));
      expect(
        readFileSync((set.descriptors[2] as { path: string }).path)
          .subarray(1)
          .equals((kept[2] as Uint8Array).subarray(1)),
      ).to.equal(true);
      behind.close();
    } finally {
      pair.close();
    }
  });

  it("memory that something still uses is given back after it, and nothing is written there any more", async () => {
    const pair = new Pair();
    const first = pair.make();
    pair.whole(first);
    pair.passed(first);
    const borrowed = pair.source.borrow(first);
    const { write } = pair.node.fill(9);
    pair.close();
    expect(pair.released.length).to.equal(2);
    expect(borrowed?.attached[0]?.view(0, 8, () => new Uint8Array(0)).length).to.equal(8);
    write(0, Uint8Array.of(1, 2, 3), 0);
    borrowed?.giveBack();
    expect(pair.released.length).to.equal(3);
  });
});
