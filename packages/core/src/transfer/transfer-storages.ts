/**
 * Brings the bytes of storages from files into memory: each needed byte once (law L3), into its final place, checked against stored
 * checksums, inflated or byte-swapped at most once, with a bound on what is on its way.
 */
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import { ByteBudget } from "./byte-budget.ts";
import { pieceTarget } from "./piece-target.ts";
import { readGroup } from "./read-group.ts";
import type { ReadRun } from "./read-run.ts";
import { type FilePiece, planTasks, type ReadTask, type StorageRead } from "./read-tasks.ts";
import { readWhole } from "./read-whole.ts";
import { ScratchPool } from "./scratch-pool.ts";
import { swapInPlace } from "./swap-bytes.ts";

export type { StorageRead } from "./read-tasks.ts";

/** How to transfer. */
export interface TransferOptions {
  readonly limits: Pick<Limits, "inFlightBytes">;
  /** Check stored CRC-32s. */
  readonly verify: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Decoded bytes in place so far; the sum of all `storage.nbytes` at the end. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** Tasks that run at one time: enough for a disk's or a server's queue, few enough to stop soon. */
const TASKS_MAX = 8;

/**
 * Fills every target. Storages must be validated; those on the meta device are skipped. When it fails, all reads have ended before it
 * rejects: nothing writes into the targets afterwards.
 * @throws {FormatError} RANKCAST_CHECKSUM, RANKCAST_INFLATE.
 * @throws {SourceError} as `ByteSource.readInto`, RANKCAST_SOURCE_CHANGED among them.
 */
export async function transferStorages(
  reads: readonly StorageRead[],
  sources: readonly ByteSource[],
  options: TransferOptions,
): Promise<ReadStats> {
  const stats = newReadStats();
  const failure = new AbortController();
  const progress = new Progress(options.onProgress);
  const run: ReadRun = {
    sources,
    budget: new ByteBudget(options.limits.inFlightBytes),
    scratch: new ScratchPool(),
    stats,
    verify: options.verify,
    signal: options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal,
    advance: (nbytes) => progress.add(nbytes),
  };
  run.signal.throwIfAborted();
  await runTasks(run, planTasks(placeInline(run, reads)), failure);
  for (const { storage, target } of reads) {
    if (!storage.meta && storage.swapBytes > 1) {
      swapInPlace(storage.nbytes, storage.swapBytes, (at, length) => target.bytes(at, length));
    }
  }
  progress.finish();
  return stats;
}

const PROGRESS_STEP_BYTES = 2 ** 20;

/** Tells the caller about every MiB, not about every one of 100 000 records. */
class Progress {
  readonly #report: (bytes: number) => void;
  #doneBytes = 0;
  #toldBytes = 0;

  constructor(report: ((bytes: number) => void) | undefined) {
    this.#report = report ?? (() => undefined);
  }

  add(nbytes: number): void {
    this.#doneBytes += nbytes;
    if (this.#doneBytes - this.#toldBytes >= PROGRESS_STEP_BYTES) this.finish();
  }

  finish(): void {
    if (this.#toldBytes === this.#doneBytes) return;
    this.#toldBytes = this.#doneBytes;
    this.#report(this.#doneBytes);
  }
}

/** Copies pieces that are at hand; gives those that are in files. */
function placeInline(run: ReadRun, reads: readonly StorageRead[]): FilePiece[] {
  const rest: FilePiece[] = [];
  for (const read of reads) {
    const { storage, target } = read;
    if (storage.meta) continue;
    if (target.nbytes !== storage.nbytes) throw new RangeError(`a storage of ${storage.nbytes} bytes goes to ${target.nbytes} bytes`);
    for (const piece of storage.pieces) {
      const { extent } = piece;
      if (piece.nbytes === 0 && (extent.type === "inline" || extent.encoding === "stored")) continue;
      if (extent.type === "range") rest.push({ read, piece, extent });
      else {
        pieceTarget(piece, target).write(0, extent.bytes);
        run.advance(piece.nbytes);
      }
    }
  }
  return rest;
}

/** A few tasks at a time, in file order. The first failure stops the others; it is thrown when all have ended. */
async function runTasks(run: ReadRun, tasks: readonly ReadTask[], failure: AbortController): Promise<void> {
  let next = 0;
  let first: { readonly error: unknown } | null = null;
  const worker = async (): Promise<void> => {
    while (!first) {
      const task = tasks[next];
      if (!task) return;
      next += 1;
      try {
        run.signal.throwIfAborted();
        await (task.type === "group" ? readGroup(run, task) : readWhole(run, task));
      } catch (error) {
        first ??= { error };
        failure.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(TASKS_MAX, tasks.length) }, worker));
  const failed = first as { readonly error: unknown } | null;
  if (failed) throw failed.error;
}
