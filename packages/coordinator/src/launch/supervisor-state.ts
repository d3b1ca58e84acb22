/**
 * What happens to a node's ranks as a group: they succeed together or are stopped together. Pure: events in, instructions out.
 *
 * ```
 *            all exited with 0 ──────────────────────────────► finished: success
 *   running ─┤
 *            │ a rank failed, stop, interrupt      all exited   restarts left, failed ► running (attempt + 1)
 *            └─────────► stopping ─────────────────────────────┤
 *                          │ grace over, second interrupt      └ otherwise ► finished: failure or interrupted
 *                          └► SIGKILL to who is left
 * ```
 */
import type { RankFailure } from "./launch-event.ts";

/** What can happen. Times are milliseconds of one monotonic clock. */
export type SupervisorEvent =
  /** A rank's process has ended, or could not be started. `failure` is null for exit code 0. */
  | { readonly type: "exited"; readonly nowMs: number; readonly localRank: number; readonly failure: RankFailure | null }
  /** A failure elsewhere (another node) ends this attempt. */
  | { readonly type: "stop"; readonly nowMs: number; readonly error: Error }
  /** A signal to the launcher, or the caller's AbortSignal. Ends the launch. */
  | { readonly type: "interrupt"; readonly nowMs: number; readonly signal: NodeJS.Signals; readonly by: "signal" | "caller" }
  | { readonly type: "timer"; readonly nowMs: number };

/** How a launch ended. */
export type LaunchOutcome =
  | { readonly type: "success" }
  | { readonly type: "failure"; readonly failures: readonly RankFailure[]; readonly error: Error | null }
  | { readonly type: "interrupted"; readonly signal: NodeJS.Signals; readonly by: "signal" | "caller" };

/** What the driver must do. */
export type SupervisorInstruction =
  | { readonly type: "signal"; readonly signal: NodeJS.Signals; readonly localRanks: readonly number[] }
  /** Send a timer event then; a new time replaces the old one. */
  | { readonly type: "setTimer"; readonly dueMs: number }
  | { readonly type: "start"; readonly attempt: number; readonly cause: RankFailure | null }
  | { readonly type: "finish"; readonly outcome: LaunchOutcome };

/** Why the ranks are being stopped. */
type StopReason =
  | { readonly type: "failure" }
  | { readonly type: "stop"; readonly error: Error }
  | { readonly type: "interrupt"; readonly signal: NodeJS.Signals; readonly by: "signal" | "caller" };

/** The group of ranks of this node. Immutable. */
export interface SupervisorState {
  readonly processCount: number;
  readonly graceMs: number;
  readonly attempt: number;
  readonly maxRestarts: number;
  readonly running: ReadonlySet<number>;
  /** In the order they were noticed. */
  readonly failures: readonly RankFailure[];
  readonly stopping: StopReason | null;
  /** An interrupt came after something else had failed: no further attempt. */
  readonly giveUp: boolean;
  readonly killAtMs: number | null;
  readonly outcome: LaunchOutcome | null;
}

/** The state after an event, and what the driver must do, in order. */
export interface SupervisorStep {
  readonly state: SupervisorState;
  readonly instructions: readonly SupervisorInstruction[];
}

/** A first attempt whose ranks are about to be started. */
export function createSupervisorState(options: {
  readonly processCount: number;
  readonly maxRestarts: number;
  readonly graceMs: number;
}): SupervisorState {
  const idle = { attempt: -1, running: new Set<number>(), failures: [], stopping: null, giveUp: false, killAtMs: null, outcome: null };
  return startAttempt({ ...options, ...idle });
}

/** One step. `state` stays as it was. */
export function stepSupervisor(state: SupervisorState, event: SupervisorEvent): SupervisorStep {
  if (state.outcome !== null) return { state, instructions: [] };
  switch (event.type) {
    case "exited":
      return takeExit(state, event);
    case "stop":
      return state.stopping === null
        ? stopAll(state, { type: "stop", error: event.error }, "SIGTERM", event.nowMs)
        : { state, instructions: [] };
    case "interrupt":
      return takeInterrupt(state, event);
    case "timer":
      if (state.killAtMs === null) return { state, instructions: [] };
      // Timers are whole milliseconds of another clock and may come early.
      if (event.nowMs < state.killAtMs) return { state, instructions: [{ type: "setTimer", dueMs: state.killAtMs }] };
      return kill({ ...state, killAtMs: null });
  }
}

/**
 * The failure that came first. A rank that only reports another rank's failure is not the first one, however its exit was timed: exits
 * are noticed when the launcher gets to run, failures are timed where they happen.
 */
export function rootFailure(failures: readonly RankFailure[]): RankFailure | null {
  const ranks = new Set(failures.map((failure) => failure.rank));
  const own = failures.filter(({ blames, rank }) => blames === null || blames === rank || !ranks.has(blames));
  const candidates = own.length > 0 ? own : failures;
  return candidates.reduce<RankFailure | null>((first, each) => (first === null || each.failedMs < first.failedMs ? each : first), null);
}

function takeExit(state: SupervisorState, { localRank, failure, nowMs }: Extract<SupervisorEvent, { type: "exited" }>): SupervisorStep {
  if (!state.running.has(localRank)) return { state, instructions: [] };
  const running = new Set(state.running);
  running.delete(localRank);
  const failures = failure === null ? state.failures : [...state.failures, failure];
  const next = { ...state, running, failures };
  if (running.size === 0)
    return endAttempt(failure === null || state.stopping !== null ? next : { ...next, stopping: { type: "failure" } });
  if (failure === null || state.stopping !== null) return { state: next, instructions: [] };
  return stopAll(next, { type: "failure" }, "SIGTERM", nowMs);
}

function takeInterrupt(state: SupervisorState, { signal, by, nowMs }: Extract<SupervisorEvent, { type: "interrupt" }>): SupervisorStep {
  if (state.stopping === null) return stopAll(state, { type: "interrupt", signal, by }, signal, nowMs);
  // Ranks that are being stopped because one failed keep their grace; nothing is started after them.
  if (state.stopping.type !== "interrupt" && !state.giveUp) return { state: { ...state, giveUp: true }, instructions: [] };
  // Whoever asks twice does not want to wait.
  return kill({ ...state, giveUp: true, killAtMs: null });
}

function stopAll(state: SupervisorState, stopping: StopReason, signal: NodeJS.Signals, nowMs: number): SupervisorStep {
  const killAtMs = nowMs + state.graceMs;
  const localRanks = [...state.running];
  const next = { ...state, stopping, killAtMs };
  if (localRanks.length === 0) return endAttempt(next);
  return {
    state: next,
    instructions: [
      { type: "signal", signal, localRanks },
      { type: "setTimer", dueMs: killAtMs },
    ],
  };
}

function kill(state: SupervisorState): SupervisorStep {
  const localRanks = [...state.running];
  return { state, instructions: localRanks.length === 0 ? [] : [{ type: "signal", signal: "SIGKILL", localRanks }] };
}

function endAttempt(state: SupervisorState): SupervisorStep {
  const { stopping, failures, attempt, maxRestarts, giveUp } = state;
  if (stopping === null) return finish(state, { type: "success" });
  if (stopping.type === "interrupt") return finish(state, { type: "interrupted", signal: stopping.signal, by: stopping.by });
  if (attempt >= maxRestarts || giveUp) {
    return finish(state, { type: "failure", failures, error: stopping.type === "stop" ? stopping.error : null });
  }
  const next = startAttempt(state);
  return { state: next, instructions: [{ type: "start", attempt: next.attempt, cause: rootFailure(failures) }] };
}

function startAttempt(state: SupervisorState): SupervisorState {
  const running = new Set(Array.from({ length: state.processCount }, (_, localRank) => localRank));
  return { ...state, attempt: state.attempt + 1, running, failures: [], stopping: null, killAtMs: null };
}

function finish(state: SupervisorState, outcome: LaunchOutcome): SupervisorStep {
  return { state: { ...state, outcome }, instructions: [{ type: "finish", outcome }] };
}
