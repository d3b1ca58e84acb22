/** New checkpoints as they appear: rank 0 looks, every rank hears of the same ones in the same order. */
import { setTimeout } from "node:timers/promises";
import { type CurrentCheckpoint, currentCheckpoint, DistributionError, type FetchOptions, type IncompleteCheckpoint } from "@rankcast/core";
import { DURATION_MS, FLAG, FUNCTION, type OptionShapes, requireArgument, requireFetchOptions, TEXT } from "@rankcast/core/runtime";
import type { SavingGroup } from "./save-checkpoint.ts";

/** How to watch. */
export interface WatchOptions extends FetchOptions {
  /** How often rank 0 looks. Default 2 000. */
  readonly pollMs?: number;
  /** Ends the watch on every rank; only rank 0's counts, because it is the one that looks. */
  readonly signal?: AbortSignal;
  /** Skip what is there already. Default false: it comes first. */
  readonly onlyNew?: boolean;
  /** How long the newest checkpoint may be incomplete without changing before rank 0 says so. Default 60 000. */
  readonly incompleteAfterMs?: number;
  /**
   * Told on rank 0, once for each state of it, of a checkpoint that has stayed incomplete: RANKCAST_WATCH_INCOMPLETE with `details.weights`,
   * `details.waitedMs` and what a load would say as cause. The watch goes on. Without a listener it is a warning of the process. Must not throw.
   */
  readonly onIncomplete?: (error: DistributionError) => void;
}

/** A checkpoint to load. */
export interface WatchedCheckpoint {
  readonly weights: string;
  readonly step: number | null;
}

const POLL_MS = 2000;
const SETTLE_MS = 250;
const INCOMPLETE_AFTER_MS = 60_000;

const WATCH_SHAPES: OptionShapes = new Map([
  ["pollMs", DURATION_MS],
  ["incompleteAfterMs", DURATION_MS],
  ["onlyNew", FLAG],
  ["onIncomplete", FUNCTION],
]);

/** @throws {UsageError} RANKCAST_USAGE naming what is wrong. */
export function checkWatchArguments(target: unknown, options: unknown): void {
  requireArgument("target", target, TEXT);
  requireFetchOptions(options, WATCH_SHAPES);
}

/**
 * Collective: checkpoints of `target` (a folder that a training loop fills, a file that is replaced, a hub revision, an object) in the order in
 * which they appear; when several appeared between two looks, the newest. What is still being written is waited for: temporary names, files that change
 * between two looks, and what ends before its own structure does; of a folder the newest that is whole comes meanwhile. Every rank iterates, and loads
 * each one:
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
  const patience = new Patience(options);
  let seen: string | null = null;
  if (options.onlyNew && group.rank === 0) seen = (await currentCheckpoint(target, lookOptions(options)))?.identity ?? null;
  for (;;) {
    let found: CurrentCheckpoint | null = null;
    let failure: unknown;
    if (group.rank === 0) {
      try {
        found = await nextCheckpoint(target, { seen, options, patience });
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
async function nextCheckpoint(
  target: string,
  { seen, options, patience }: { readonly seen: string | null; readonly options: WatchOptions; readonly patience: Patience },
): Promise<CurrentCheckpoint | null> {
  const { pollMs = POLL_MS, signal } = options;
  let last: string | null = null;
  while (!signal?.aborted) {
    const incomplete: IncompleteCheckpoint[] = [];
    const current = await currentCheckpoint(target, { ...lookOptions(options), onIncomplete: (found) => incomplete.push(found) });
    patience.see(incomplete[0] ?? null);
    const isNew = current !== null && current.identity !== seen;
    // What somebody writes in place may look whole before it is: it must look the same twice.
    if (isNew && current.identity === last) return current;
    last = isNew ? current.identity : null;
    await setTimeout(isNew ? Math.min(pollMs, SETTLE_MS) : pollMs, undefined, signal ? { signal } : {}).catch(() => undefined);
  }
  return null;
}

/** The watch's own listener hears of files that stay incomplete, not of each look. */
function lookOptions({ onIncomplete: _, ...options }: WatchOptions): Omit<WatchOptions, "onIncomplete"> {
  return options;
}

/** How long the same incomplete checkpoint has been seen; says so once. */
class Patience {
  readonly #afterMs: number;
  readonly #tell: (error: DistributionError) => void;
  #seen: { readonly identity: string; readonly sinceMs: number; told: boolean } | null = null;

  constructor({ incompleteAfterMs = INCOMPLETE_AFTER_MS, onIncomplete = (error) => process.emitWarning(error) }: WatchOptions) {
    this.#afterMs = incompleteAfterMs;
    this.#tell = onIncomplete;
  }

  see(found: IncompleteCheckpoint | null): void {
    if (found === null) {
      this.#seen = null;
      return;
    }
    const { weights, cause } = found;
    const identity = `${weights} ${found.identity}`;
    if (this.#seen?.identity !== identity) this.#seen = { identity, sinceMs: performance.now(), told: false };
    const waitedMs = Math.round(performance.now() - this.#seen.sinceMs);
    if (this.#seen.told || waitedMs < this.#afterMs) return;
    this.#seen.told = true;
    const message = `${weights} has been incomplete for ${waitedMs} ms without a change: ${cause.message}`;
    this.#tell(new DistributionError("RANKCAST_WATCH_INCOMPLETE", message, { details: { weights, waitedMs }, cause }));
  }
}
