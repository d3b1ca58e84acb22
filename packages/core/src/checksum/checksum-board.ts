/**
 * What threads that compute CRC-32 together know: runs of bytes, cut into portions, which whoever is free takes one after the other. Plain data over shared
 * memory, so that it can be posted.
 */
import { crc32OfBoth } from "./combine-crc32.ts";
import { crc32 } from "./crc32.ts";

/** Bytes that are to get a CRC-32. */
export interface ChecksumRun {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly nbytes: number;
}

/** See the module comment. */
export interface ChecksumBoard {
  readonly buffers: readonly SharedArrayBuffer[];
  /** Of each portion: which buffer, its offset there, its length in bytes. */
  readonly places: Float64Array;
  /** Batch n has the portions from `batches[n]` to before `batches[n + 1]`. */
  readonly batches: Int32Array;
  /** CRC-32 of each portion. */
  readonly found: Uint32Array;
  /** Of each batch: whether all of it was found. */
  readonly done: Int32Array;
  /** The next batch; whether to stop. */
  readonly state: Int32Array;
}

/** What is taken at a time: 0.1 to 0.5 ms, so that nobody waits longer for the last one, or for a turn of the event loop. */
export const BATCH_BYTES = 2 ** 21;

const PLACE_FIELDS = 3;
const [NEXT, STOP] = [0, 1];

/** Cuts runs into portions of a batch at most, and joins small ones to batches. */
export function createChecksumBoard(runs: readonly ChecksumRun[]): ChecksumBoard {
  const buffers = [...new Set(runs.map(({ buffer }) => buffer))];
  const numbers = new Map(buffers.map((buffer, index) => [buffer, index]));
  const count = runs.reduce((sum, { nbytes }) => sum + portionsOf(nbytes), 0);
  const places = new Float64Array(new SharedArrayBuffer(count * PLACE_FIELDS * Float64Array.BYTES_PER_ELEMENT));
  const batches = [0];
  let [portion, batchBytes] = [0, 0];
  for (const { buffer, byteOffset, nbytes } of runs) {
    for (let at = 0; at < nbytes; at += BATCH_BYTES) {
      const length = Math.min(BATCH_BYTES, nbytes - at);
      if (batchBytes + length > BATCH_BYTES && batchBytes > 0) {
        batches.push(portion);
        batchBytes = 0;
      }
      places.set([numbers.get(buffer) ?? 0, byteOffset + at, length], portion * PLACE_FIELDS);
      batchBytes += length;
      portion += 1;
    }
  }
  batches.push(portion);
  return {
    buffers,
    places,
    batches: sharedInts(batches.length, batches),
    found: new Uint32Array(new SharedArrayBuffer(count * Uint32Array.BYTES_PER_ELEMENT)),
    done: sharedInts(batches.length - 1),
    state: sharedInts(2),
  };
}

/** Takes the next batch and computes it; false when all are taken, or whoever asked wants no more. */
export function takeBatch(board: ChecksumBoard): boolean {
  if (Atomics.load(board.state, STOP) === 1) return false;
  const batch = Atomics.add(board.state, NEXT, 1);
  if (batch >= board.done.length) return false;
  computeBatch(board, batch);
  return true;
}

/** Tells all who take batches to leave it. */
export function stopBoard({ state }: ChecksumBoard): void {
  Atomics.store(state, STOP, 1);
}

/** Batches that somebody has taken and not finished. */
export function* unfinishedBatches({ done }: ChecksumBoard): Generator<number> {
  for (let batch = 0; batch < done.length; batch += 1) if (Atomics.load(done, batch) === 0) yield batch;
}

/** Computes what a batch has. */
export function computeBatch({ buffers, places, batches, found, done }: ChecksumBoard, batch: number): void {
  const end = batches[batch + 1] ?? 0;
  for (let portion = batches[batch] ?? 0; portion < end; portion += 1) {
    const [number = 0, offset, length] = places.subarray(portion * PLACE_FIELDS, (portion + 1) * PLACE_FIELDS);
    found[portion] = crc32(new Uint8Array(buffers[number] as SharedArrayBuffer, offset, length));
  }
  Atomics.store(done, batch, 1);
}

/** CRC-32 of each run, when all batches are done. */
export function checksumsOf({ places, found }: ChecksumBoard, runs: readonly ChecksumRun[]): number[] {
  let portion = 0;
  return runs.map(({ nbytes }) => {
    let checksum = 0;
    for (const end = portion + portionsOf(nbytes); portion < end; portion += 1) {
      checksum = crc32OfBoth(checksum, found[portion] ?? 0, places[portion * PLACE_FIELDS + 2] ?? 0);
    }
    return checksum;
  });
}

function portionsOf(nbytes: number): number {
  return Math.ceil(nbytes / BATCH_BYTES);
}

function sharedInts(length: number, values: readonly number[] = []): Int32Array {
  const ints = new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
  ints.set(values);
  return ints;
}
