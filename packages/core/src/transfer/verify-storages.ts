/** Checks storages whose bytes are in memory already (mapped files) against stored checksums. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PoolChecksum } from "../memory/pool-checksum.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import { PieceChecksum } from "./piece-checksum.ts";
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
  for (const { storage, target } of reads) {
    for (const piece of storage.meta ? [] : storage.pieces) {
      if (piece.extent.type !== "range") continue;
      stats.bytesNeeded += piece.extent.storedBytes;
      const checksum = new PieceChecksum({ extent: piece.extent, file: sources[piece.extent.source]?.name ?? "" }, true);
      // Only plain stored pieces can be used where they lie.
      if (!checksum.active || piece.extent.encoding !== "stored" || piece.rectangle) continue;
      for (let at = 0; at < piece.nbytes; at += PORTION_BYTES) {
        const length = Math.min(PORTION_BYTES, piece.nbytes - at);
        const bytes = target.bytes(piece.at + at, length);
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
  }
  return stats;
}
