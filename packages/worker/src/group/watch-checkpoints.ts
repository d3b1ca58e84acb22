/** New checkpoints as they appear: rank 0 looks, every rank hears of the same ones in the same order. */
import { setTimeout } from "node:timers/promises";
import { CheckpointError, type CurrentCheckpoint, currentCheckpoint, type FetchOptions, openCheckpoint } from "@rankcast/core";
import type { SavingGroup } from "./save-checkpoint.ts";

/** How to watch. */
export interface WatchOptions extends FetchOptions {
  /** How often rank 0 looks. Default 2 000. */
  readonly pollMs?: number;
  /** Ends the watch on every rank; only rank 0's counts, because it is the one that looks. */
  readonly signal?: AbortSignal;
  /** Skip what is there already. Default false: it comes first. */
  readonly onlyNew?: boolean;
}

/** A checkpoint to load. */
export interface WatchedCheckpoint {
  readonly weights: string;
  readonly step: number | null;
}

const POLL_MS = 2000;
const SETTLE_MS = 250;

/**
 * Collective: checkpoints of `target` (a folder that a training loop fills, a file that is replaced, a hub revision, an object) in the order in
 * which they appear; when several appeared between two looks, the newest. What is still being written is waited for: temporary names, files that change
 * between two looks, and files that end before their own structure does. Every rank iterates, and loads each one:
 *
 *     for await (const { weights } of group.watch("runs/7")) await pool.load(weights);
 *
 * Leaving the loop ends it for this rank; abort `signal` on rank 0 to end it for all.
 * @throws {CheckpointError} the same root cause on every rank when the target cannot be read.
 */
export async function* watchCheckpoints(
  group: SavingGroup,
  target: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchedCheckpoint, void> {
  let seen: string | null = null;
  if (options.onlyNew && group.rank === 0) seen = (await currentCheckpoint(target, options))?.identity ?? null;
  for (;;) {
    let found: CurrentCheckpoint | null = null;
    let failure: unknown;
    if (group.rank === 0) {
      try {
        found = await nextCheckpoint(target, seen, options);
      } catch (error) {
        failure = error;
      }
    }
    seen = found?.identity ?? seen;
    const [first] = await group.collectives.gather("watch", found ? { weights: found.weights, step: found.step } : null, failure);
    if (first === null || first === undefined) return;
    yield first as WatchedCheckpoint;
  }
}

/** Looks until there is another one; null when the watch was ended. */
async function nextCheckpoint(target: string, seen: string | null, options: WatchOptions): Promise<CurrentCheckpoint | null> {
  const { pollMs = POLL_MS, signal } = options;
  let last: string | null = null;
  while (!signal?.aborted) {
    const current = await unlessCutOff(() => currentCheckpoint(target, options));
    const isNew = current !== null && current.identity !== seen;
    // A file that somebody writes in place is not whole when it is seen first: it must look the same twice.
    const isSettled = isNew && current.identity === last;
    if (isSettled && (await isWhole(current, target))) return current;
    last = isNew ? current.identity : null;
    const soon = isNew && !isSettled;
    await setTimeout(soon ? Math.min(pollMs, SETTLE_MS) : pollMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
  return null;
}

/** Writers pause, on network file systems for seconds: one that looks the same twice may still be cut off. The target itself was opened already. */
async function isWhole({ weights, identity }: CurrentCheckpoint, target: string): Promise<boolean> {
  if (weights === target) return true;
  const isCutOff = await unlessCutOff(() => openCheckpoint(weights)).then(
    async (handle) => {
      await handle?.close();
      return handle === null;
    },
    // Any other fault is the load's to tell, unless the file goes on changing.
    () => false,
  );
  return !isCutOff && (await currentCheckpoint(target))?.identity === identity;
}

/** Null instead of the error of a file that ends too early. */
async function unlessCutOff<T>(look: () => Promise<T>): Promise<T | null> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof CheckpointError && error.class === "truncated") return null;
    throw error;
  }
}
