/** The receiver's one function: what happened in, what to do out. */
import { loseConnection, openLink, praiseConnection, reopenIfDue } from "./link-connections.ts";
import type { ReceiverEvent, ReceiverInstruction } from "./receiver-event.ts";
import {
  doubtDueMs,
  type OpenProbe,
  type ReceiverFailure,
  type ReceiverState,
  silentSinceMs,
  usualMs,
  wantedChunks,
} from "./receiver-state.ts";
import { askAgain, leave, passOver, recordOf, returnOf } from "./source-records.ts";

/** The state after an event, and what the driver must do, in order. */
export interface ReceiverStep {
  readonly state: ReceiverState;
  readonly instructions: readonly ReceiverInstruction[];
}

interface Draft {
  state: ReceiverState;
  readonly nowMs: number;
  readonly instructions: ReceiverInstruction[];
}

const SILENT = "nothing came from it";
const RETRY_MS = 50;
const RETRY_MS_MAX = 2000;
/** A machine with too much to do answers late; taking it for dead costs the node that is asked instead half its rate. */
const PROBE_MS_MIN = 400;
const PROBE_MS_MAX = 1000;
/** Another node must have so many chunks more than the source: in a pipeline each node is a little ahead of those behind it. */
const CLEARLY_MORE = 4;
/** After so many rounds any lead counts. */
const ROUNDS_MAX = 3;
/** Weight of the newest interval in the mean. */
const NEWEST = 0.25;

/**
 * One step. `state` stays as it was.
 *
 * Guarantees: at most one link and one probe are open; a chunk is counted once however often it comes; it completes exactly when every
 * chunk was counted and fails only by silence or repeated corruption; after either nothing more is asked for.
 */
export function stepReceiver(state: ReceiverState, event: ReceiverEvent): ReceiverStep {
  const draft: Draft = { state, nowMs: event.nowMs, instructions: [] };
  if (state.phase !== "receiving") return draft;
  take(draft, event);
  if (draft.state.phase === "receiving") askForTimer(draft);
  return { state: draft.state, instructions: draft.instructions };
}

function take(draft: Draft, event: ReceiverEvent): void {
  const { state, nowMs } = draft;
  switch (event.type) {
    case "start":
      if (!completeIfWhole(draft)) pullNext(draft);
      return;
    case "bytes":
      draft.state = { ...state, lastByteMs: nowMs };
      return;
    case "chunk":
      if (event.source === state.source) praiseConnection(draft, event.connection);
      takeChunk(draft, event.source, event.chunk);
      return;
    case "own":
      draft.state = { ...state, received: state.received.with(event.chunk), lastByteMs: nowMs };
      completeIfWhole(draft);
      return;
    case "corrupt":
      takeCorruption(draft, event);
      return;
    case "broken":
      takeConnectionBreak(draft, event.source, event.connection, event.reason);
      return;
    case "have":
      takeAnswer(draft, event.source, event.available);
      return;
    case "timer":
      draft.state = { ...state, timerDueMs: null };
      takeTimer(draft);
  }
}

function takeChunk(draft: Draft, source: number, chunk: number): void {
  draft.state = { ...draft.state, lastByteMs: draft.nowMs };
  const { state, nowMs } = draft;
  if (state.received.has(chunk)) return;
  const passed = state.lastChunkMs === null ? null : nowMs - state.lastChunkMs;
  const intervalMs = passed === null ? state.intervalMs : mean(state.intervalMs, passed);
  draft.state = {
    ...state,
    received: state.received.with(chunk),
    records: state.records.has(source)
      ? new Map(state.records).set(source, { ...recordOf(state, source), breaks: 0, reason: null })
      : state.records,
    intervalMs,
    quietSinceMs: nowMs,
    lastChunkMs: nowMs,
    rounds: 0,
    probe: source === state.source ? null : state.probe,
  };
  completeIfWhole(draft);
}

function mean(before: number | null, newest: number): number {
  return before === null ? newest : (1 - NEWEST) * before + NEWEST * newest;
}

function completeIfWhole(draft: Draft): boolean {
  const { received, source } = draft.state;
  if (!received.full) return false;
  draft.state = { ...draft.state, phase: "complete", source: null, probe: null };
  if (source !== null) draft.instructions.push({ type: "stop", source });
  draft.instructions.push({ type: "complete" });
  return true;
}

function takeCorruption(draft: Draft, { source, connection, chunk }: ReceiverEvent & { readonly type: "corrupt" }): void {
  const times = (draft.state.corruptions.get(chunk) ?? 0) + 1;
  draft.state = { ...draft.state, corruptions: new Map(draft.state.corruptions).set(chunk, times) };
  if (times > draft.state.options.corruptionsMax) fail(draft, { kind: "corrupt", chunk, source, times });
  else takeConnectionBreak(draft, source, connection, `chunk ${chunk} had a wrong checksum`);
}

function takeConnectionBreak(draft: Draft, source: number, connection: number, reason: string): void {
  if (source !== draft.state.source || !draft.state.link.open.has(connection)) return;
  if (!loseConnection(draft, source, connection)) takeBreak(draft, reason);
}

/** The link is over: the same source once more, then the next. */
function takeBreak(draft: Draft, reason: string): void {
  const { state, nowMs } = draft;
  const { source } = state;
  if (source === null) return;
  const record = recordOf(state, source);
  const breaks = record.breaks + 1;
  // The first repetition is immediate: a connection that was cut says nothing about the node behind it.
  const retryMs = breaks === 1 ? nowMs : nowMs + Math.min(RETRY_MS * 2 ** (breaks - 2), RETRY_MS_MAX);
  draft.state = { ...state, source: null, records: new Map(state.records).set(source, { ...record, breaks, retryMs, reason }) };
  if (breaks === 1) pull(draft, source);
  else {
    pullNext(draft);
    const next = draft.state.source;
    if (next === null || next === source) return;
    leave(draft, source);
    draft.instructions.push({ type: "switched", from: source, to: next, reason });
  }
}

/** The source with the fewest breaks that may be tried now; of equal ones the best placed. */
function pullNext(draft: Draft): void {
  const { options } = draft.state;
  let best: number | null = null;
  let fewest = Number.POSITIVE_INFINITY;
  for (const source of options.sources) {
    const { breaks, retryMs } = recordOf(draft.state, source);
    if (retryMs > draft.nowMs || breaks >= fewest) continue;
    best = source;
    fewest = breaks;
  }
  if (best !== null) pull(draft, best);
}

function pull(draft: Draft, source: number): void {
  const want = wantedChunks(draft.state);
  if (want.count === 0) return;
  const probe = draft.state.probe?.source === source ? null : draft.state.probe;
  draft.state = { ...draft.state, source, quietSinceMs: draft.nowMs, probe };
  openLink(draft, source, want);
}

function takeAnswer(draft: Draft, source: number, available: number | null): void {
  const { probe, source: present, rounds } = draft.state;
  if (probe === null || probe.source !== source) return;
  if (source === present) {
    // It has chunks and answers, but nothing comes, twice in a row: what is dead is the connection.
    const isSilent = rounds > 0 && draft.nowMs >= silentSinceMs(draft.state) + usualMs(draft.state);
    if (available !== null && available > 0 && isSilent) change(draft, source, SILENT);
    else probeNext(draft, { ...probe, held: available });
    return;
  }
  const better = isBetter(draft.state, probe, available);
  if (!better && probe.back) askAgain(draft, source);
  if (better) change(draft, source, probe.back ? "a better placed node is ahead again" : SILENT);
  else if (probe.held === null || rounds >= ROUNDS_MAX) probeNext(draft, probe);
  // The present source lives, and its own source has no more than it: the gap is further up, and is not ours to close.
  else probeNext(draft, { ...probe, rest: [] });
}

/** Whether the node that was asked is to be the source. */
function isBetter(state: ReceiverState, { held, back }: OpenProbe, available: number | null): boolean {
  if (available === null) return false;
  // Whoever has anything more is not behind, and a chain is faster for all than two that pull from one.
  if (back) return available > 0;
  // Behind a node that does not answer, the nearest that does is the place in the chain, even when it is waiting itself.
  if (held === null && state.rounds < ROUNDS_MAX) return true;
  const clearly = state.rounds >= ROUNDS_MAX ? 1 : Math.min(CLEARLY_MORE, wantedChunks(state).count);
  return available - (held ?? 0) >= clearly;
}

/** Pulls from `source` now, on a new connection. */
function change(draft: Draft, source: number, reason: string): void {
  const { source: before, rounds } = draft.state;
  draft.state = { ...draft.state, probe: null, rounds: rounds + 1 };
  if (before !== null && before !== source) passOver(draft, before, source);
  if (before !== null) draft.instructions.push({ type: "stop", source: before });
  pull(draft, source);
  if (before !== null) draft.instructions.push({ type: "switched", from: before, to: source, reason });
}

function probeNext(draft: Draft, { rest, held, back }: Omit<OpenProbe, "source" | "dueMs">): void {
  const [source, ...others] = rest;
  if (source === undefined && back) {
    draft.state = { ...draft.state, probe: null };
    return;
  }
  if (source === undefined) {
    // Nobody has clearly more: it is the owner that is slow, or everybody is cut off. The next round of questions comes later.
    draft.state = { ...draft.state, probe: null, quietSinceMs: draft.nowMs, rounds: draft.state.rounds + 1 };
    return;
  }
  const dueMs = draft.nowMs + Math.min(Math.max(usualMs(draft.state) / 2, PROBE_MS_MIN), PROBE_MS_MAX);
  draft.state = { ...draft.state, probe: { source, dueMs, rest: others, held, back } };
  draft.instructions.push({ type: "probe", source, want: wantedChunks(draft.state) });
}

function takeTimer(draft: Draft): void {
  const { state, nowMs } = draft;
  const { options, lastByteMs, source, probe } = state;
  // Sums are compared as the timer was set: a difference may come out just below, and the timer would fire for ever.
  if (nowMs >= lastByteMs + options.giveUpMs) {
    fail(draft, {
      kind: "stalled",
      silentMs: nowMs - lastByteMs,
      missing: options.chunkCount - state.received.count,
      sources: options.sources.map((nodeRank) => ({ nodeRank, reason: state.records.get(nodeRank)?.reason ?? null })),
    });
    return;
  }
  if (source === null) {
    pullNext(draft);
    return;
  }
  reopenIfDue(draft, source);
  if (probe !== null) {
    if (nowMs < probe.dueMs) return;
    takeAnswer(draft, probe.source, null);
    return;
  }
  if (wantedChunks(state).count === 0) return;
  if (nowMs < doubtDueMs(state)) {
    const back = returnOf(state);
    if (back !== null && nowMs >= back.dueMs) probeNext(draft, { rest: [back.source], held: null, back: true });
    return;
  }
  probeNext(draft, { rest: [source, ...options.sources.filter((each) => each !== source)], held: null, back: false });
}

function fail(draft: Draft, failure: ReceiverFailure): void {
  const { source } = draft.state;
  draft.state = { ...draft.state, phase: "failed", failure, source: null, probe: null };
  if (source !== null) draft.instructions.push({ type: "stop", source });
  draft.instructions.push({ type: "fail", failure });
}

/** One timer for whatever is due first. Chunks only move it later, and it finds that out when it fires. */
function askForTimer(draft: Draft): void {
  const { state } = draft;
  let dueMs = state.lastByteMs + state.options.giveUpMs;
  if (state.source === null) {
    for (const source of state.options.sources) {
      const retryMs = state.records.get(source)?.retryMs ?? 0;
      if (wantedChunks(state).count > 0) dueMs = Math.min(dueMs, retryMs);
    }
  } else if (state.probe !== null) dueMs = Math.min(dueMs, state.probe.dueMs);
  else if (wantedChunks(state).count > 0) dueMs = Math.min(dueMs, doubtDueMs(state), returnOf(state)?.dueMs ?? dueMs);
  if (state.source !== null) dueMs = Math.min(dueMs, state.link.reopenMs ?? dueMs);
  if (state.timerDueMs !== null && state.timerDueMs <= dueMs) return;
  draft.state = { ...state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}
