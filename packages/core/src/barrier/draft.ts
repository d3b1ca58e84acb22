/** What a step builds: the next state, and instructions in order. Handlers replace `state`; of what it points to they change only what is `own`. */
import type { FailureCause, MemberList, MemberReport } from "./barrier-decision.ts";
import type { BarrierInstruction, RefusalReason } from "./barrier-instruction.ts";
import {
  type BarrierMember,
  type BarrierState,
  DECISIONS_KEPT,
  type OpenGeneration,
  REPORTS_MAX,
  type SettledName,
} from "./barrier-state.ts";

/** A step in the making. */
export interface Draft {
  state: BarrierState;
  nowMs: number;
  instructions: BarrierInstruction[];
  /**
   * Tables and generations that were made here and that nobody else has seen: they may be changed where they are, all others are copied first. Weak, because
   * a table that another one takes the place of has to be gone.
   */
  own: WeakSet<object>;
}

/** Replaces one member. */
export function setMember(draft: Draft, member: BarrierMember): void {
  const members = owned(draft, draft.state.members, (theirs) => theirs.slice());
  members[member.rank] = member;
  if (members !== draft.state.members) draft.state = { ...draft.state, members };
}

/** Replaces or adds an open generation. */
export function setOpen(draft: Draft, generation: OpenGeneration): void {
  const open = owned(draft, draft.state.open, (theirs) => new Map(theirs)).set(generation.name, generation);
  if (open !== draft.state.open) draft.state = { ...draft.state, open };
}

/** Replaces what is known of a name. */
export function setSettled(draft: Draft, name: string, settled: SettledName): void {
  const names = owned(draft, draft.state.names, (theirs) => new Map(theirs)).set(name, settled);
  if (names !== draft.state.names) draft.state = { ...draft.state, names };
}

/** A generation with one arrival more; arriving twice is arriving once. `digest` becomes its own if it has none. */
export function withArrival(draft: Draft, open: OpenGeneration, rank: number, digest: string | null): OpenGeneration {
  const at = open.listed ? open.participants.indexOf(rank) : rank;
  if (at === -1 || open.arrived[at] === true) return open;
  const entered = owned(draft, open, (theirs) => ({ ...theirs, arrived: theirs.arrived.slice() }));
  entered.arrived[at] = true;
  entered.arrivedCount += 1;
  if (digest !== null) entered.digest ??= { rank, value: digest };
  return entered;
}

/** Readonly tables as their maker may treat them. */
type Mutable<T> =
  T extends ReadonlyMap<infer K, infer V>
    ? Map<K, V>
    : T extends readonly (infer E)[]
      ? E[]
      : { -readonly [key in keyof T]: Contents<T[key]> };
type Contents<T> = T extends readonly boolean[] ? boolean[] : T;

/** `table` itself where it is ours, else a copy that is. */
function owned<T extends object>(draft: Draft, table: T, copy: (theirs: T) => T | Mutable<T>): Mutable<T> {
  if (draft.own.has(table)) return table as unknown as Mutable<T>;
  const ours = copy(table);
  draft.own.add(ours);
  return ours as Mutable<T>;
}

/** Refuses a message. */
export function refuse(
  draft: Draft,
  reason: RefusalReason,
  sender: { readonly rank: number; readonly incarnation: number; readonly name?: string; readonly generation?: number },
): void {
  const { rank, incarnation, name, generation } = sender;
  draft.instructions.push({
    type: "refuse",
    rank,
    incarnation,
    reason,
    epoch: draft.state.supersededBy ?? draft.state.epoch,
    ...(name === undefined ? {} : { name }),
    ...(generation === undefined ? {} : { generation }),
  });
}

/** Fails an open generation. The first call decides; there is no second, because the generation is closed by it. */
export function fail(draft: Draft, open: OpenGeneration, cause: FailureCause): void {
  const { state, nowMs } = draft;
  const waiting: number[] = [];
  const busy: number[] = [];
  const missing: number[] = [];
  for (const [at, rank] of open.participants.entries()) {
    const present = state.members[rank]?.status === "present";
    if (!open.arrived[at]) missing.push(rank);
    if (present) (open.arrived[at] ? waiting : busy).push(rank);
  }
  const decision = { ...decided(draft, open), outcome: "fail", cause, missing: listMembers(state, missing, nowMs), later: [] } as const;
  close(draft, open, { type: "decide", decision, waiting, busy });
}

/** Passes a generation in which everybody has arrived. */
export function pass(draft: Draft, open: OpenGeneration, lastRank: number): void {
  const decision = { ...decided(draft, open), outcome: "pass", firstRank: open.firstRank, lastRank } as const;
  close(draft, open, { type: "decide", decision, waiting: open.participants, busy: [] });
}

/** Members of a failure by rank, the first 64 with all that is known of them. */
export function listMembers(state: BarrierState, ranks: readonly number[], nowMs: number): MemberList {
  return { ranks, reports: ranks.slice(0, REPORTS_MAX).flatMap((rank) => reportOf(state, rank, nowMs) ?? []) };
}

/** All that is known of a member; null for a rank outside the world. */
export function reportOf(state: BarrierState, rank: number, nowMs: number): MemberReport | null {
  const member = state.members[rank];
  if (member === undefined) return null;
  const { place, status, phase, progressMs, loss } = member;
  return { rank, place, status, phase, silentMs: progressMs === null ? null : nowMs - progressMs, ...(loss === undefined ? {} : { loss }) };
}

/** The report of a member that is known to be in the table; a rank without an entry counts as absent. */
export function describe({ state, nowMs }: Draft, rank: number): MemberReport {
  return reportOf(state, rank, nowMs) ?? { rank, place: null, status: "absent", phase: "", silentMs: null };
}

/** What is known of a name; a fresh one starts with generation 1. */
export function settledOf(state: BarrierState, name: string): SettledName {
  return state.names.get(name) ?? { nextGeneration: 1, decisions: [] };
}

function decided({ state, nowMs }: Draft, { name, generation, listed, participants, openedMs }: OpenGeneration) {
  const sequence = state.sequence + 1;
  return { epoch: state.epoch, name, generation, sequence, participants: listed ? participants : null, openedMs, decidedMs: nowMs };
}

function close(draft: Draft, closed: OpenGeneration, instruction: Extract<BarrierInstruction, { type: "decide" }>): void {
  const { state } = draft;
  const { name, generation } = closed;
  const kept = settledOf(state, name).decisions.slice(1 - DECISIONS_KEPT);
  const open = owned(draft, state.open, (theirs) => new Map(theirs));
  open.delete(name);
  draft.own.delete(closed);
  draft.state = {
    ...state,
    open,
    names: owned(draft, state.names, (theirs) => new Map(theirs)).set(name, {
      nextGeneration: generation + 1,
      decisions: [...kept, instruction.decision],
    }),
    sequence: state.sequence + 1,
    timerDueMs: open.size === 0 ? null : state.timerDueMs,
  };
  draft.instructions.push(instruction);
  if (open.size === 0 && state.timerDueMs !== null) draft.instructions.push({ type: "clearTimer" });
}
