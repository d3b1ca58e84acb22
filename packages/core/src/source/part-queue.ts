/** The parts of a file that are still to be fetched, handed out in order. */
import type { ByteRange } from "./byte-range.ts";

/** A part smaller than this is not worth a request of its own. */
const PART_BYTES_MIN = 2 ** 20;
/** A connection that brings a part faster than this gets larger ones: between two parts it stands still for a round trip. */
const PART_MS = 250;
/** Parts grow up to this many times their size at first; very small ones were asked for on purpose and stay as they are. */
const GROWTH_MAX = 8;

/** Who asks for a part. */
export interface PartAsker {
  /** How fast its last part came, in bytes per millisecond; 0 when it has had none. */
  readonly rate: number;
  /** How many ask for parts at the moment. */
  readonly connections: number;
}

/** Cuts gaps into parts: larger for fast connections, smaller towards the end so that all connections finish together. */
export class PartQueue {
  readonly #gaps: ByteRange[];
  readonly #partBytes: number;
  #remainingBytes: number;

  constructor(gaps: readonly ByteRange[], partBytes: number) {
    this.#gaps = [...gaps];
    this.#partBytes = partBytes;
    this.#remainingBytes = gaps.reduce((sum, each) => sum + each.end - each.begin, 0);
  }

  /** Whether all are handed out. */
  get isEmpty(): boolean {
    return this.#gaps.length === 0;
  }

  /** The next part; null when all are handed out. */
  next({ rate, connections }: PartAsker): ByteRange | null {
    const gap = this.#gaps.shift();
    if (gap === undefined) return null;
    const fast = this.#partBytes < PART_BYTES_MIN ? 0 : Math.min(Math.floor(rate * PART_MS), this.#partBytes * GROWTH_MAX);
    const share = Math.ceil(this.#remainingBytes / connections);
    const length = Math.min(gap.end - gap.begin, Math.max(this.#partBytes, fast), Math.max(share, PART_BYTES_MIN));
    const part = { begin: gap.begin, end: gap.begin + length };
    if (part.end < gap.end) this.#gaps.unshift({ begin: part.end, end: gap.end });
    this.#remainingBytes -= length;
    return part;
  }
}
