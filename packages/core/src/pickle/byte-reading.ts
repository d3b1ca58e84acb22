/**
 * Reading without doing I/O: a reader is a generator that asks for byte ranges and is given them. The same reader then runs over bytes
 * at hand (a record of a zip, a stream inside a pickle) and over a file or URL of any size, window by window.
 */

import type { ByteSource } from "../source/byte-source.ts";
import { readBytes } from "../source/byte-source.ts";

/** What a reader asks for. The answer holds at least these bytes, from `offset` on; more is welcome. Never reaches past the source's end. */
export interface ByteRequest {
  readonly offset: number;
  readonly nbytes: number;
}

/** A reader that ends with a `T`. */
export type Reading<T> = Generator<ByteRequest, T, Uint8Array>;

/** Runs a reader over bytes at hand; they are not copied. @throws whatever the reader throws. */
export function readFromBytes<T>(reading: Reading<T>, bytes: Uint8Array): T {
  let step = reading.next();
  while (!step.done) step = reading.next(bytes.subarray(step.value.offset));
  return step.value;
}

/** Runs a reader over a source; one read per request. @throws whatever the reader or the source throws. */
export async function readFromSource<T>(reading: Reading<T>, source: ByteSource, signal?: AbortSignal): Promise<T> {
  let step = reading.next();
  while (!step.done) step = reading.next(await readBytes(source, step.value.offset, step.value.nbytes, signal));
  return step.value;
}
