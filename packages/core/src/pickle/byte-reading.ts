/**
 * Reading without doing I/O: a reader is a generator that asks for byte ranges and is given them. The same reader then runs over bytes
 * at hand (a record of a zip, a stream inside a pickle) and over a file or URL of any size, window by window.
 */
import { type ByteSource, readBytes } from "../source/byte-source.ts";

/** What a reader asks for. Never reaches past the source's end. */
export interface ByteRequest {
  readonly offset: number;
  /** The answer holds at least so many bytes from `offset` on; more is welcome. */
  readonly nbytes: number;
  /** How many to read when a read is needed anyway; at least `nbytes`. */
  readonly wish?: number;
}

/** A reader that ends with a `T`. */
export type Reading<T> = Generator<ByteRequest, T, Uint8Array>;

/** Bytes of a source that were read already. */
export interface HeldBytes {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Runs a reader over bytes at hand; they are not copied. @throws whatever the reader throws. */
export function readFromBytes<T>(reading: Reading<T>, bytes: Uint8Array): T {
  let step = reading.next();
  while (!step.done) step = reading.next(bytes.subarray(step.value.offset));
  return step.value;
}

/**
 * Runs a reader over a source. A request that lies in the bytes of the last read (at first: `held`) costs none, so runs of small tables
 * are read together.
 * @throws whatever the reader or the source throws.
 */
export async function readFromSource<T>(
  reading: Reading<T>,
  source: ByteSource,
  signal?: AbortSignal,
  held: HeldBytes = { offset: 0, bytes: new Uint8Array(0) },
): Promise<T> {
  let last = held;
  let step = reading.next();
  while (!step.done) {
    const { offset, nbytes, wish = nbytes } = step.value;
    const inside = offset >= last.offset && offset + nbytes <= last.offset + last.bytes.length;
    if (!inside) last = { offset, bytes: await readBytes(source, offset, sizeOfRead(source, offset, nbytes, wish), signal) };
    step = reading.next(last.bytes.subarray(offset - last.offset));
  }
  return step.value;
}

/** What is wished for is not waited for. */
function sizeOfRead({ arrival }: ByteSource, offset: number, nbytes: number, wish: number): number {
  return arrival ? Math.max(nbytes, Math.min(wish, arrival.bytesAt(offset))) : wish;
}
