/** Which bytes a chunk is. Pure arithmetic, equal on every node (law L6). */
import type { BroadcastOffer } from "./broadcast-offer.ts";

/** One chunk: a run of bytes inside one segment. */
export interface Chunk {
  readonly index: number;
  readonly segment: number;
  /** From the start of the segment. */
  readonly offset: number;
  readonly length: number;
}

/** All chunks of a broadcast. */
export interface ChunkLayout {
  readonly count: number;
  readonly totalBytes: number;
  /** @throws {RangeError} for an index outside the layout: indexes from peers are checked before. */
  chunk(index: number): Chunk;
}

/** Cuts every segment in chunks, in order. Segments are not joined: a chunk is written to and read from one place. */
export function layoutChunks({ segmentBytes, chunkBytes }: Pick<BroadcastOffer, "segmentBytes" | "chunkBytes">): ChunkLayout {
  // firsts[s] is the index of the first chunk of segment s.
  const firsts: number[] = [];
  let count = 0;
  let totalBytes = 0;
  for (const nbytes of segmentBytes) {
    firsts.push(count);
    count += Math.ceil(nbytes / chunkBytes);
    totalBytes += nbytes;
  }
  return {
    count,
    totalBytes,
    chunk(index) {
      if (!(index >= 0 && index < count)) throw new RangeError(`chunk ${index} of ${count}`);
      const segment = lastAtMost(firsts, index);
      const offset = (index - (firsts[segment] ?? 0)) * chunkBytes;
      return { index, segment, offset, length: Math.min(chunkBytes, (segmentBytes[segment] ?? 0) - offset) };
    },
  };
}

/** Index of the last entry that is at most `value`; of equal ones the last, because empty segments own no chunk. */
function lastAtMost(ascending: readonly number[], value: number): number {
  let low = 0;
  let high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((ascending[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
