/**
 * What rows of tables (headers, indexes, manifests) take on V8's heap once they are decoded, as `pickle/heap-costs.ts` says it of pickled values:
 * measured on Node 20, rounded up. `test/src/property/heap-bound-tables.test.ts` measures again.
 */

/** A text without its characters. */
const TEXT_BYTES = 24;
/** An entry of a Map, and of a Set; tables double. */
const MAP_ENTRY_BYTES = 56;
const SET_ENTRY_BYTES = 40;
/** What a row says, and its place in a list. */
const ROW_BYTES = 88;
/** An array of numbers without them. */
const ARRAY_BYTES = 32;
const NUMBER_BYTES = 8;
/** A tensor and its storage, with an array of strides. */
const TENSOR_BYTES = 210;
/** Where bytes are: a list, a piece and its extent. */
const PIECE_BYTES = 170;

/** A row of a table as it was parsed, and its name in the set of those that were seen. `textBytes`: the characters of its texts. */
export function rowBytes(textBytes: number, rank: number): number {
  return TEXT_BYTES + textBytes + SET_ENTRY_BYTES + ROW_BYTES + ARRAY_BYTES + NUMBER_BYTES * rank;
}

/** The tensor that is made of a row, in its tree; shape and name are the row's. */
export function leafBytes(rank: number, nbytes: number): number {
  return TENSOR_BYTES + ARRAY_BYTES + NUMBER_BYTES * rank + MAP_ENTRY_BYTES + (nbytes === 0 ? 0 : PIECE_BYTES);
}

/** A name that is the key of what becomes of its row. */
export function keyBytes(textBytes: number): number {
  return TEXT_BYTES + textBytes + MAP_ENTRY_BYTES;
}

/** A shape, or strides, in memory of their own. */
export function arrayBytes(rank: number): number {
  return ARRAY_BYTES + 2 * NUMBER_BYTES + NUMBER_BYTES * rank;
}

/** A tensor of a run of bytes whose name, shape and strides were there; where the run is, its storage says without an object. */
export const RUN_BYTES = 136;

/** A name and a text, in a table and in a list of what the file says about itself. */
export function pairBytes(textBytes: number): number {
  return 2 * TEXT_BYTES + textBytes + MAP_ENTRY_BYTES + 56;
}

/** A name in so many tables. */
export function nameBytes(textBytes: number, tables: number): number {
  return TEXT_BYTES + textBytes + MAP_ENTRY_BYTES * tables;
}
