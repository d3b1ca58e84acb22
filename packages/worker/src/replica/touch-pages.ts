/** Touching every page: first reads paid early, or pages made a process's own. */
import type { Storage } from "@rankcast/core";
import { type NativeMemory, nativeMemory } from "@rankcast/core/runtime";

const PAGE_BYTES = 4096;
/** What Linux maps around a page of a file that is read first (`fault_around_bytes`). */
const NEIGHBOURS_BYTES = 65_536;
// One view of a storage may not exceed 4 GiB on Node 20.
const WINDOW_BYTES = 2 ** 30;

/**
 * Maps every page that the storages lie on and reads a byte of each, so that later first touches cost nothing; returns the sum of what it read, so that
 * no compiler drops the reads.
 * @throws {TensorError} RANKCAST_MEMORY_MAP when a mapped file is shorter than it was.
 */
export function touchPages(storages: Iterable<Storage>): number {
  const native = nativeMemory(false);
  let sum = 0;
  for (const { buffer, begin, end } of joinNeighbours(storages)) {
    for (let at = begin; at < end; at += WINDOW_BYTES)
      sum += touchWindow(new Uint8Array(buffer, at, Math.min(WINDOW_BYTES, end - at)), native);
  }
  return sum;
}

interface Range {
  readonly buffer: ArrayBufferLike;
  readonly begin: number;
  end: number;
}

/** Storages of a checkpoint mostly follow each other: one call for all of them instead of one for each. */
function joinNeighbours(storages: Iterable<Storage>): Range[] {
  const ranges = new Map<ArrayBufferLike, Range[]>();
  for (const { buffer, byteOffset: begin, nbytes } of storages) {
    if (buffer === null || nbytes === 0) continue;
    const others = ranges.get(buffer) ?? [];
    ranges.set(buffer, others);
    const last = others.at(-1);
    // Pages between them are few, and of the same file.
    if (last && begin >= last.end && begin - last.end <= NEIGHBOURS_BYTES) last.end = begin + nbytes;
    else others.push({ buffer, begin, end: begin + nbytes });
  }
  return [...ranges.values()].flat();
}

function touchWindow(bytes: Uint8Array, native: NativeMemory | null): number {
  const populated = native?.isMapped(bytes.buffer) === true && native.populateForReading(bytes);
  if (!populated) return readPages(bytes, [NEIGHBOURS_BYTES, PAGE_BYTES]);
  return native.readPages(bytes) ?? readPages(bytes, [PAGE_BYTES]);
}

/**
 * Reads one byte of every page. In two passes where nothing is mapped yet: the kernel maps neighbours with a page, and a read between two of its
 * visits costs several times what it does after all of them.
 */
function readPages(bytes: Uint8Array, stridesBytes: readonly number[]): number {
  let sum = 0;
  for (const strideBytes of stridesBytes) {
    for (let at = 0; at < bytes.length; at += strideBytes) sum += bytes[at] ?? 0;
  }
  return sum;
}

/** Writes one byte of every page back: pages of a copy-on-write mapping become copies that nobody else can change. */
export function ownPages(storages: Iterable<Storage>): void {
  const native = nativeMemory(false);
  for (const storage of storages) {
    // Everything else is this process's own copy already.
    if (!native?.isMapped(storage.buffer)) continue;
    for (let begin = 0; begin < storage.nbytes; begin += WINDOW_BYTES) {
      const bytes = storage.bytes(begin, Math.min(WINDOW_BYTES, storage.nbytes - begin));
      // Storages begin anywhere in a page: the last byte may lie on a page that no step reaches.
      for (let at = 0; at < bytes.length; at += PAGE_BYTES) bytes[at] = bytes[at] ?? 0;
      if (bytes.length > 0) bytes[bytes.length - 1] = bytes[bytes.length - 1] ?? 0;
    }
  }
}
