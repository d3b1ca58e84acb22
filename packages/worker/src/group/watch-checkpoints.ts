/** New checkpoints as they appear: rank 0 looks, every rank hears of the same ones in the same order. */
import { setTimeout } from "node:timers/promises";
import { type CurrentCheckpoint, currentCheckpoint, type FetchOptions } from "@rankcast/core";
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
 * which they appear; when several appeared between two looks, the newest. Every rank iterates, and loads each one:
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
    const current = await currentCheckpoint(target, options);
    const isNew = current !== null && current.identity !== seen;
    // A file that somebody writes in place is not whole when it is seen first: it must look the same twice.
    if (isNew && current.identity === last) return current;
    last = isNew ? current.identity : null;
    await setTimeout(isNew ? Math.min(pollMs, SETTLE_MS) : pollMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
  return null;
}
