/** The one door to CRC-32: by what is fastest for as many bytes. */
import { crc32 as zlibCrc32 } from "node:zlib";
import { type Crc32, openFastCrc32 } from "./fast-crc32.ts";

/** Fewer are done by Node's zlib before the other one has been called. */
const FAST_BYTES_MIN = 512;
/** What loading the fast one takes longer than it saves: a process that computes less than that never loads it. */
const OPEN_AFTER_BYTES = 32 * 2 ** 20;

let fast: Crc32 | null | undefined;
let doneBytes = 0;

/** Continues the CRC-32 `previous` with bytes, of any buffer. */
export function crc32(bytes: Uint8Array, previous = 0): number {
  if (bytes.length < FAST_BYTES_MIN) return zlibCrc32(bytes, previous);
  if (fast === undefined) {
    doneBytes += bytes.length;
    if (doneBytes < OPEN_AFTER_BYTES) return zlibCrc32(bytes, previous);
  }
  return prepareCrc32() ? (fast as Crc32)(bytes, previous) : zlibCrc32(bytes, previous);
}

/** Loads the fast one now, once per thread; false where there is none. For who knows that much is coming, or has time. */
export function prepareCrc32(): boolean {
  if (fast === undefined) fast = openFastCrc32();
  return fast !== null;
}
