/** The parts of a file that are still to be fetched, handed out in order. */
import type { ByteRange } from "./byte-range.ts";

/** A part smaller than this is not worth a request of its own. */
const PART_BYTES_MIN = 2 ** 20;

/** Cuts gaps into parts: at most `partBytes` each, smaller towards the end so that all connections finish together. */
export class PartQueue {
  readonly #gaps: ByteRange[];
  readonly #partBytes: number;
  readonly #connections: number;
  #remainingBytes: number;

  constructor(gaps: readonly ByteRange[], partBytes: number, connections: number) {
    this.#gaps = [...gaps];
    this.#partBytes = partBytes;
    this.#connections = connections;
    this.#remainingBytes = gaps.reduce((sum, each) => sum + each.end - each.begin, 0);
  }

  /** Whether all are handed out. */
  get isEmpty(): boolean {
    return this.#gaps.length === 0;
  }

  /** The next part; null when all are handed out. */
  next(): ByteRange | null {
    const gap = this.#gaps.shift();
    if (gap === undefined) return null;
    const share = Math.ceil(this.#remainingBytes / this.#connections);
    const length = Math.min(gap.end - gap.begin, this.#partBytes, Math.max(share, PART_BYTES_MIN));
    const part = { begin: gap.begin, end: gap.begin + length };
    if (part.end < gap.end) this.#gaps.unshift({ begin: part.end, end: gap.end });
    this.#remainingBytes -= length;
    return part;
  }
}
