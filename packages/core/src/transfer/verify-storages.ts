/** Checks storages whose bytes are in memory already (mapped files) against stored checksums. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PoolChecksum } from "../memory/pool-checksum.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import type { Storage } from "../tensor/storage.ts";
import { PieceChecksum, type PiecePlace } from "./piece-checksum.ts";
import type { StorageRead } from "./read-tasks.ts";

/** How to verify. */
export interface VerifyOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes looked at so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Computes on other threads; without it this one does, in turns with whatever else it has to do. */
  readonly crc32Aside?: PoolChecksum | undefined;
}

/** Between two portions the event loop gets a turn. */
const PORTION_BYTES = 8 * 2 ** 20;
/** Asking another thread costs about as much as the CRC-32 of this many bytes. */
const ASIDE_BYTES_MIN = 256 * 2 ** 10;

/**
 * Compares every stored piece that has a CRC-32. `sources` are the files the pieces name, for messages. Bytes without a checksum are
 * counted as needed but not read. The bytes must be as the file has them: not swapped.
 * @throws {FormatError} RANKCAST_CHECKSUM naming file, record and offset.
 */
export async function verifyStorages(
  reads: readonly StorageRead[],
  sources: readonly { readonly name: string }[],
  { signal, onProgress, crc32Aside }: VerifyOptions = {},
): Promise<ReadStats> {
  const stats = newReadStats();
  let sinceTurn = 0;
  for (const { place, target, at: begin, nbytes } of checkedPieces(reads, sources, stats)) {
    const checksum = new PieceChecksum(place, true);
    for (let at = 0; at < nbytes; at += PORTION_BYTES) {
      const length = Math.min(PORTION_BYTES, nbytes - at);
      const bytes = target.bytes(begin + at, length);
      if (crc32Aside && length >= ASIDE_BYTES_MIN) await checksum.updateAside(bytes, crc32Aside);
      else checksum.update(bytes);
      stats.bytesRead += length;
      sinceTurn += length;
      if (sinceTurn < PORTION_BYTES) continue;
      sinceTurn = 0;
      onProgress?.(stats.bytesRead);
      await nextTurn();
      signal?.throwIfAborted();
    }
    checksum.finish();
  }
  return stats;
}

/** A piece in memory that has a CRC-32 in its file. */
export interface CheckedPiece {
  readonly place: PiecePlace;
  readonly target: Storage;
  /** Where it begins in `target`. */
  readonly at: number;
  readonly nbytes: number;
}

/** What is to be compared; counts all of it, and what has no checksum, in `stats.bytesNeeded`. */
export function* checkedPieces(
  reads: readonly StorageRead[],
  sources: readonly { readonly name: string }[],
  stats: ReadStats,
): Generator<CheckedPiece> {
  for (const { storage, target } of reads) {
    for (const { extent, rectangle, at, nbytes } of storage.meta ? [] : storage.pieces) {
      if (extent.type !== "range") continue;
      stats.bytesNeeded += extent.storedBytes;
      // Only plain stored pieces can be used where they lie.
      if (extent.crc32 === null || extent.encoding !== "stored" || rectangle) continue;
      yield { place: { extent, file: sources[extent.source]?.name ?? "" }, target, at, nbytes };
    }
  }
}
