/**
 * A rank's side of its barriers: counts generations, repeats what may have been lost, and never decides anything. It can say
 * "unknown", when the decision cannot be learned; such a rank is fenced: it must not go on with what it loaded.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import type { BarrierDecision, FailDecision } from "./barrier-decision.ts";
import type { ArrivalOutcome, ArriveEvent } from "./barrier-event.ts";
import type { RefusalReason } from "./barrier-instruction.ts";

/** An arrival as it is sent; the coordinator adds its own clock. */
export type ArrivalMessage = Omit<ArriveEvent, "nowMs">;

/** Why a rank may not go on. */
export type FenceReason = "fenced" | "stale-epoch" | "superseded" | "coordinator-lost" | "coordinator-silent";

/** What the rank's own code or its connection report. */
export type CallerEvent =
  | {
      readonly type: "call";
      readonly nowMs: number;
      readonly name: string;
      readonly digest: string;
      readonly participants: readonly number[] | null;
      readonly timeoutMs: number;
      readonly outcome: ArrivalOutcome;
    }
  | { readonly type: "decision"; readonly nowMs: number; readonly decision: BarrierDecision }
  | { readonly type: "refused"; readonly nowMs: number; readonly reason: RefusalReason; readonly name: string; readonly generation: number }
  /** Anything at all came from the coordinator. */
  | { readonly type: "contact"; readonly nowMs: number }
  /** The connection was lost and made anew, to the same coordinator and epoch: messages of either side may be lost. */
  | { readonly type: "reconnected"; readonly nowMs: number }
  /** The coordinator is gone for good, or cut this process off. */
  | { readonly type: "lost"; readonly nowMs: number; readonly reason: FenceReason }
  | { readonly type: "timer"; readonly nowMs: number };

/** How a call ended. Unknown is neither: others may have passed. */
export type CallResult =
  | { readonly type: "decided"; readonly decision: BarrierDecision }
  | { readonly type: "refused"; readonly reason: RefusalReason }
  | { readonly type: "unknown"; readonly reason: FenceReason };

/** What the driver must do. */
export type CallerInstruction =
  | { readonly type: "send"; readonly message: ArrivalMessage }
  /** End the call of that name. */
  | { readonly type: "settle"; readonly name: string; readonly generation: number; readonly result: CallResult }
  /** Refuse the new call of that name; the one before it goes on. */
  | { readonly type: "busy"; readonly name: string }
  /** Mark this process unusable. Comes once, after the calls have been settled. */
  | { readonly type: "fence"; readonly reason: FenceReason }
  | { readonly type: "setTimer"; readonly dueMs: number };

/** What a rank knows of its barriers. Immutable. */
export interface CallerState {
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;
  /** A coordinator that says nothing for this long while a call waits is given up. Above the coordinator's own bounds, or it would lie. */
  readonly silenceMs: number;
  /** By name; a name that is not listed starts with 1. */
  readonly nextGeneration: ReadonlyMap<string, number>;
  readonly pending: ReadonlyMap<string, ArrivalMessage>;
  /** Failures that were decided before this rank got to the barrier. */
  readonly early: ReadonlyMap<string, FailDecision>;
  readonly fenced: FenceReason | null;
  readonly contactMs: number;
  readonly timerDueMs: number | null;
}

/** The state after an event, and what the driver must do, in order. */
export interface CallerStep {
  readonly state: CallerState;
  readonly instructions: readonly CallerInstruction[];
}

/**
 * A rank that has just been admitted. `generations` is what the coordinator's admission lists.
 * @throws {UsageError} RANKCAST_USAGE when `silenceMs` is no time above 0.
 */
export function createCallerState(options: {
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;
  readonly silenceMs: number;
  readonly nowMs: number;
  readonly generations: readonly (readonly [name: string, generation: number])[];
}): CallerState {
  const { epoch, rank, incarnation, silenceMs, nowMs, generations } = options;
  if (!(silenceMs > 0)) throw new UsageError("RANKCAST_USAGE", `silenceMs must be above 0, not ${silenceMs}`, { details: { silenceMs } });
  return {
    epoch,
    rank,
    incarnation,
    silenceMs,
    nextGeneration: new Map(generations),
    pending: new Map(),
    early: new Map(),
    fenced: null,
    contactMs: nowMs,
    timerDueMs: null,
  };
}

/** One step of a rank. At most one call per name waits (I14); a decision counts for its own epoch and generation only (I8). */
export function stepCaller(state: CallerState, event: CallerEvent): CallerStep {
  switch (event.type) {
    case "call":
      return call(state, event);
    case "decision":
      return decide({ ...state, contactMs: event.nowMs }, event.decision);
    case "refused":
      return takeRefusal({ ...state, contactMs: event.nowMs }, event);
    case "contact":
      return { state: { ...state, contactMs: event.nowMs }, instructions: [] };
    case "reconnected": {
      const instructions = [...state.pending.values()].map((message) => ({ type: "send", message }) as const);
      return { state: { ...state, contactMs: event.nowMs }, instructions };
    }
    case "lost":
      return fence(state, event.reason);
    case "timer":
      return takeTimer(state, event.nowMs);
  }
}

function call(state: CallerState, event: Extract<CallerEvent, { type: "call" }>): CallerStep {
  const { name, digest, participants, timeoutMs, outcome, nowMs } = event;
  const generation = state.nextGeneration.get(name) ?? 1;
  if (state.fenced !== null) {
    return { state, instructions: [{ type: "settle", name, generation, result: { type: "unknown", reason: state.fenced } }] };
  }
  if (state.pending.has(name)) return { state, instructions: [{ type: "busy", name }] };
  const early = state.early.get(name);
  if (early !== undefined) return settle(state, early);
  const { epoch, rank, incarnation, silenceMs } = state;
  const message: ArrivalMessage = { type: "arrive", epoch, rank, incarnation, name, generation, digest, participants, timeoutMs, outcome };
  const pending = new Map(state.pending).set(name, message);
  // Silence counts while somebody waits: before the call nothing had to come.
  const contactMs = state.pending.size === 0 ? nowMs : state.contactMs;
  const dueMs = contactMs + silenceMs;
  const asks = state.timerDueMs === null;
  const instructions: CallerInstruction[] = [{ type: "send", message }];
  if (asks) instructions.push({ type: "setTimer", dueMs });
  return { state: { ...state, pending, contactMs, timerDueMs: asks ? dueMs : state.timerDueMs }, instructions };
}

function decide(state: CallerState, decision: BarrierDecision): CallerStep {
  const { name, generation, epoch } = decision;
  const current = generation === (state.nextGeneration.get(name) ?? 1);
  if (state.fenced !== null || epoch !== state.epoch || !current) return { state, instructions: [] };
  if (state.pending.has(name)) return settle(state, decision);
  // Nobody passes without this rank, so only a failure can come early.
  if (decision.outcome === "pass") return { state, instructions: [] };
  return { state: { ...state, early: new Map(state.early).set(name, decision) }, instructions: [] };
}

function settle(state: CallerState, decision: BarrierDecision): CallerStep {
  const { name, generation } = decision;
  const nextGeneration = new Map(state.nextGeneration).set(name, generation + 1);
  const next = { ...state, nextGeneration, pending: without(state.pending, name), early: without(state.early, name) };
  return { state: next, instructions: [{ type: "settle", name, generation, result: { type: "decided", decision } }] };
}

function takeRefusal(state: CallerState, { reason, name, generation }: Extract<CallerEvent, { type: "refused" }>): CallerStep {
  if (reason === "fenced" || reason === "stale-epoch" || reason === "superseded") return fence(state, reason);
  if (state.pending.get(name)?.generation !== generation) return { state, instructions: [] };
  return {
    state: { ...state, pending: without(state.pending, name) },
    instructions: [{ type: "settle", name, generation, result: { type: "refused", reason } }],
  };
}

function takeTimer(state: CallerState, nowMs: number): CallerStep {
  const idle = { ...state, timerDueMs: null };
  if (state.fenced !== null || state.pending.size === 0) return { state: idle, instructions: [] };
  const dueMs = state.contactMs + state.silenceMs;
  if (nowMs >= dueMs) return fence(idle, "coordinator-silent");
  return { state: { ...state, timerDueMs: dueMs }, instructions: [{ type: "setTimer", dueMs }] };
}

function fence(state: CallerState, reason: FenceReason): CallerStep {
  if (state.fenced !== null) return { state, instructions: [] };
  const settled = [...state.pending.values()].map(({ name, generation }): CallerInstruction => {
    return { type: "settle", name, generation, result: { type: "unknown", reason } };
  });
  const next = { ...state, fenced: reason, pending: new Map<string, ArrivalMessage>(), early: new Map<string, FailDecision>() };
  return { state: next, instructions: [...settled, { type: "fence", reason }] };
}

function without<T>(table: ReadonlyMap<string, T>, name: string): ReadonlyMap<string, T> {
  if (!table.has(name)) return table;
  const rest = new Map(table);
  rest.delete(name);
  return rest;
}
