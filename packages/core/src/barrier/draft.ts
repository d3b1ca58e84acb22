/** What a step builds: the next state, and instructions in order. Handlers replace `state`, they never change what it points to. */
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
  readonly nowMs: number;
  readonly instructions: BarrierInstruction[];
}

/** Replaces one member. */
export function setMember(draft: Draft, member: BarrierMember): void {
  const members = draft.state.members.slice();
  members[member.rank] = member;
  draft.state = { ...draft.state, members };
}

/** Replaces or adds an open generation. */
export function setOpen(draft: Draft, generation: OpenGeneration): void {
  draft.state = { ...draft.state, open: new Map(draft.state.open).set(generation.name, generation) };
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

function close(draft: Draft, { name, generation }: OpenGeneration, instruction: Extract<BarrierInstruction, { type: "decide" }>): void {
  const { state } = draft;
  const kept = settledOf(state, name).decisions.slice(1 - DECISIONS_KEPT);
  const open = new Map(state.open);
  open.delete(name);
  draft.state = {
    ...state,
    open,
    names: new Map(state.names).set(name, { nextGeneration: generation + 1, decisions: [...kept, instruction.decision] }),
    sequence: state.sequence + 1,
    timerDueMs: open.size === 0 ? null : state.timerDueMs,
  };
  draft.instructions.push(instruction);
  if (open.size === 0 && state.timerDueMs !== null) draft.instructions.push({ type: "clearTimer" });
}
