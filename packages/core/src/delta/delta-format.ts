/**
 * The difference between two states of the same bytes, for weight updates between nodes: most bytes of a step's update are those of the step before.
 *
 *     header   magic "RKD1", total bytes, CRC-32 of the new state, number of blocks
 *     block    index, payload bytes, bitmap of its changed pages, payload: the changed pages XOR those of the old state, raw deflate
 *
 * A block covers `BLOCK_BYTES`, a page `PAGE_BYTES`; blocks without a changed page are left out. XOR turns equal bytes into zeros, which compress to
 * nearly nothing however changed elements are scattered. All numbers are little-endian.
 */

/** The unit of comparing. */
export const PAGE_BYTES = 4096;
/** The unit of compressing; a multiple of the page. */
export const BLOCK_BYTES = 4 * 2 ** 20;
/** Pages of a block, one bit each. */
export const BITMAP_BYTES = BLOCK_BYTES / PAGE_BYTES / 8;
/** "RKD1". */
export const DELTA_MAGIC = 0x31444b52;
/** Header: magic, total (as two numbers), checksum, blocks. */
export const HEADER_BYTES = 20;
/** Block header before its bitmap: index and payload bytes. */
export const BLOCK_HEADER_BYTES = 8;

/** One bit per page of every block, `BITMAP_BYTES` per block. */
export type PageMap = Uint8Array;

/** Bytes in one piece of memory; larger than one view of Node 20 may be. */
export interface ByteRun {
  readonly length: number;
  subarray(begin: number, end: number): Uint8Array;
}

/** Bytes that lie in several runs of memory, seen as one. Runs are cut so that no block spans two of them. */
export interface ByteRuns {
  readonly nbytes: number;
  /** The bytes of block `index`; shorter at the end of a run. */
  block(index: number): Uint8Array;
  readonly blockCount: number;
}

/** Segments as blocks: each segment begins a new one. */
export function blocksOf(segments: readonly ByteRun[]): ByteRuns {
  const places = segments.flatMap((segment) =>
    Array.from({ length: Math.ceil(segment.length / BLOCK_BYTES) }, (_, index) => ({ segment, begin: index * BLOCK_BYTES })),
  );
  return {
    nbytes: segments.reduce((sum, { length }) => sum + length, 0),
    blockCount: places.length,
    block(index) {
      const place = places[index];
      if (!place) throw new RangeError(`there is no block ${index} of ${places.length}`);
      const { segment, begin } = place;
      return segment.subarray(begin, Math.min(segment.length, begin + BLOCK_BYTES));
    },
  };
}

/** No page of any block. */
export function noPages({ blockCount }: ByteRuns): PageMap {
  return new Uint8Array(blockCount * BITMAP_BYTES);
}

/** The part of a map that is about block `index`. */
export function pagesOfBlock(pages: PageMap, index: number): Uint8Array {
  return pages.subarray(index * BITMAP_BYTES, (index + 1) * BITMAP_BYTES);
}

/** Whether a block's part of a map has the page. */
export function hasPage(bitmap: Uint8Array, page: number): boolean {
  return (((bitmap[page >> 3] ?? 0) >> (page & 7)) & 1) === 1;
}
