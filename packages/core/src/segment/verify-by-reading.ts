/**
 * Checks stored checksums where nothing can be mapped: what has a checksum is read, a portion at a time, and not kept. Portions are read on Node's thread
 * pool, one ahead of the one that is computed, so that whoever else needs this thread gets it.
 */
import { closeSync, read } from "node:fs";
import { promisify } from "node:util";
import { SourceError } from "../errors/checkpoint-error.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { openSegment } from "../memory/open-segment.ts";
import type { SegmentDescriptor } from "../memory/segment.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import { Storage } from "../tensor/storage.ts";
import { PieceChecksum } from "../transfer/piece-checksum.ts";
import { type CheckedPiece, checkedPieces } from "../transfer/verify-storages.ts";

/** Stays in a processor's cache until its checksum is taken. */
const PORTION_BYTES = 2 ** 20;

/**
 * Of the storages that `placements` names. Takes two portions of memory, however large they are.
 * @throws {FormatError} RANKCAST_CHECKSUM; {TensorError} RANKCAST_SEGMENT_GONE; {SourceError} RANKCAST_SOURCE_CHANGED, RANKCAST_SOURCE_TRUNCATED; the
 * signal's reason.
 */
export async function verifyByReading(
  { storages, sources }: Pick<StateDictManifest, "storages" | "sources">,
  placements: LoadPlan["placements"],
  segments: readonly SegmentDescriptor[],
  signal: AbortSignal | undefined,
): Promise<ReadStats> {
  const stats = newReadStats();
  for (const [index, segment] of segments.entries()) {
    // The targets stand for where a storage lies in its segment; there are no bytes in them.
    const begins = new Map<Storage, number>();
    const reads = placements.flatMap((placement, at) => {
      const storage = storages[at];
      if (placement?.segment !== index || !storage) return [];
      const target = new Storage(null, 0, placement.nbytes);
      begins.set(target, placement.byteOffset);
      return [{ storage, target }];
    });
    const pieces = [...checkedPieces(reads, sources, stats)];
    if (pieces.length === 0) continue;
    const fd = openSegment(segment);
    const portions = new Portions(fd, segment.kind === "file" ? segment.offset : 0);
    try {
      for (const piece of pieces) await comparePiece(piece, begins.get(piece.target) ?? 0, { portions, stats, signal });
    } finally {
      await portions.idle();
      closeSync(fd);
    }
  }
  return stats;
}

interface Comparing {
  readonly portions: Portions;
  readonly stats: ReadStats;
  readonly signal: AbortSignal | undefined;
}

async function comparePiece(
  { place, at, nbytes }: CheckedPiece,
  storageBegin: number,
  { portions, stats, signal }: Comparing,
): Promise<void> {
  const checksum = new PieceChecksum(place, true);
  const begin = storageBegin + at;
  const length = (done: number): number => Math.min(PORTION_BYTES, nbytes - done);
  let coming = portions.read(begin, length(0));
  for (let done = 0; done < nbytes; done += PORTION_BYTES) {
    signal?.throwIfAborted();
    const bytes = await coming;
    const next = done + PORTION_BYTES;
    if (next < nbytes) coming = portions.read(begin + next, length(next));
    checksum.update(bytes);
    stats.bytesRead += bytes.length;
  }
  checksum.finish();
}

/** Reads into two buffers in turn: what was read last stays as it is while the next portion comes. */
class Portions {
  readonly #fd: number;
  readonly #base: number;
  readonly #buffers = [new Uint8Array(PORTION_BYTES), new Uint8Array(PORTION_BYTES)] as const;
  #count = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(fd: number, base: number) {
    this.#fd = fd;
    this.#base = base;
  }

  read(offset: number, nbytes: number): Promise<Uint8Array> {
    const target = this.#buffers[this.#count % 2 === 0 ? 0 : 1].subarray(0, nbytes);
    this.#count += 1;
    const reading = this.#fill(target, this.#base + offset);
    // Whoever failed before asks for no more; the descriptor must stay open until nothing is on its way.
    this.#last = reading.catch(() => undefined);
    return reading;
  }

  /** Resolves when nothing is read any more. */
  async idle(): Promise<void> {
    await this.#last;
  }

  async #fill(target: Uint8Array, position: number): Promise<Uint8Array> {
    const readOnce = promisify(read);
    for (let at = 0; at < target.length; ) {
      const { bytesRead } = await readOnce(this.#fd, target, at, target.length - at, position + at);
      if (bytesRead === 0) {
        const offset = position + at;
        throw new SourceError("RANKCAST_SOURCE_TRUNCATED", `a segment ended at byte ${offset}`, { details: { offset } });
      }
      at += bytesRead;
    }
    return target;
  }
}
