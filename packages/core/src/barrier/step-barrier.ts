/** The barrier's one function: what happened in, what to do out. No clock, no I/O; the same events give the same run. */
import { DistributionError } from "../errors/checkpoint-error.ts";
import type { FailureCause } from "./barrier-decision.ts";
import type { AbortEvent, ArriveEvent, BarrierEvent, JoinEvent, LeaveEvent, ProgressEvent, ResetEvent } from "./barrier-event.ts";
import type { BarrierInstruction } from "./barrier-instruction.ts";
import { type BarrierMember, type BarrierState, createBarrierState, LATER_CAUSES_MAX, type OpenGeneration } from "./barrier-state.ts";
import { type Draft, fail, listMembers, refuse, reportOf } from "./draft.ts";
import { takeArrival, takeFail } from "./take-arrival.ts";
import { takeJoin, takeLeave, takeLoss, takeProgress } from "./take-membership.ts";

/** The state after an event, and what the driver must do because of it, in order. */
export interface BarrierStep {
  readonly state: BarrierState;
  readonly instructions: readonly BarrierInstruction[];
}

/**
 * One step. `state` stays as it was and may be used again.
 *
 * Guarantees, whatever the events: a pass means every participant arrived (I1); one decision per generation, never changed (I2);
 * arriving twice is arriving once (I7); an arrival counts for its own generation only (I8); loss, leaving and restarting decide at
 * once (I9); after an abort nothing passes (I10); failures name exactly the members concerned (I11); messages of other epochs do
 * nothing (I12); memory is bounded by members, names and 64 decisions per name (I16). Time passes only through events.
 * @throws {DistributionError} RANKCAST_PROTOCOL when a reset does not raise the epoch.
 * @throws {UsageError} RANKCAST_USAGE when a reset asks for an impossible world size.
 */
export function stepBarrier(state: BarrierState, event: BarrierEvent): BarrierStep {
  const draft: Draft = { state, nowMs: event.nowMs, instructions: [], own: new WeakSet() };
  take(draft, event);
  return { state: draft.state, instructions: draft.instructions };
}

/**
 * The same steps, one after the other, for a driver that keeps no state but the latest: what a step has made the next one changes in place, so that an
 * arrival costs the same however many members there are. Gives the instructions that `stepBarrier` would give.
 */
export class BarrierRun {
  readonly #draft: Draft;

  constructor(state: BarrierState) {
    this.#draft = { state, nowMs: 0, instructions: [], own: new WeakSet() };
  }

  /** One step. @throws what `stepBarrier` throws; the state is then what it was. */
  step(event: BarrierEvent): readonly BarrierInstruction[] {
    const draft = this.#draft;
    draft.nowMs = event.nowMs;
    draft.instructions = [];
    take(draft, event);
    return draft.instructions;
  }

  /** What is known now; it stays as it is. */
  get state(): BarrierState {
    // Whoever looks at it may keep it.
    this.#draft.own = new WeakSet();
    return this.#draft.state;
  }
}

/**
 * The earliest time at which a generation may have waited long enough: each missing member has `timeoutMs` from the generation's
 * start or from its own last progress, whichever is later.
 */
export function deadlineOf(members: readonly BarrierMember[], open: OpenGeneration): number {
  let deadline = Number.POSITIVE_INFINITY;
  for (const [at, rank] of open.participants.entries()) {
    if (open.arrived[at]) continue;
    deadline = Math.min(deadline, Math.max(open.openedMs, members[rank]?.progressMs ?? open.openedMs) + open.timeoutMs);
  }
  return deadline;
}

function take(draft: Draft, event: BarrierEvent): void {
  if (event.type === "reset") takeReset(draft, event);
  else if (isMessage(event)) takeMessage(draft, event);
  else if (draft.state.supersededBy !== null) return;
  else if (event.type === "timer") takeTimer(draft);
  // Late news of an earlier epoch: its processes and their troubles are not those of this one.
  else if (event.epoch !== draft.state.epoch) return;
  else if (event.type === "loss") takeLoss(draft, event);
  else if (event.type === "fail") takeFail(draft, event);
  else takeAbort(draft, event);
}

function isMessage(event: BarrierEvent): event is Message {
  return event.type === "join" || event.type === "leave" || event.type === "arrive" || event.type === "progress";
}

type Message = JoinEvent | LeaveEvent | ArriveEvent | ProgressEvent;

function takeMessage(draft: Draft, event: Message): void {
  if (isFenced(draft, event)) return;
  if (event.type === "join") {
    takeJoin(draft, event);
    return;
  }
  const member = senderOf(draft, event);
  if (member === null) return;
  if (event.type === "arrive") takeArrival(draft, event, member);
  else if (event.type === "leave") takeLeave(draft, event, member);
  else takeProgress(draft, event, member);
}

/** Messages of older epochs are refused; a newer one means that this coordinator has been replaced and must stop. */
function isFenced(draft: Draft, event: Message): boolean {
  const { epoch, supersededBy } = draft.state;
  if (event.epoch > Math.max(epoch, supersededBy ?? 0)) {
    draft.state = { ...draft.state, supersededBy: event.epoch, timerDueMs: null };
    draft.instructions.push({ type: "stop", epoch: event.epoch });
  } else if (supersededBy !== null) refuse(draft, "superseded", event);
  else if (event.epoch < epoch) refuse(draft, "stale-epoch", event);
  else return false;
  return true;
}

/** The member whose current process sent the message. */
function senderOf(draft: Draft, event: Message): BarrierMember | null {
  const member = draft.state.members[event.rank];
  if (member === undefined) refuse(draft, "unknown-rank", event);
  else if (member.status === "absent" || event.incarnation > member.incarnation) refuse(draft, "not-joined", event);
  else if (event.incarnation < member.incarnation || member.status !== "present") refuse(draft, "fenced", event);
  else return member;
  return null;
}

function takeTimer(draft: Draft): void {
  draft.state = { ...draft.state, timerDueMs: null };
  let dueMs = Number.POSITIVE_INFINITY;
  for (const open of draft.state.open.values()) {
    const deadline = deadlineOf(draft.state.members, open);
    if (deadline <= draft.nowMs) failLate(draft, open);
    else dueMs = Math.min(dueMs, deadline);
  }
  if (dueMs === Number.POSITIVE_INFINITY) return;
  draft.state = { ...draft.state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}

function failLate(draft: Draft, open: OpenGeneration): void {
  const { state, nowMs } = draft;
  const stalled = open.participants.filter((rank, at) => {
    return !open.arrived[at] && Math.max(open.openedMs, state.members[rank]?.progressMs ?? open.openedMs) + open.timeoutMs <= nowMs;
  });
  fail(draft, open, { kind: "timeout", timeoutMs: open.timeoutMs, stalled: listMembers(state, stalled, nowMs) });
}

function takeAbort(draft: Draft, { rank, error }: AbortEvent): void {
  const cause: FailureCause = { kind: "abort", member: rank === null ? null : reportOf(draft.state, rank, draft.nowMs), error };
  const { abort, members } = draft.state;
  if (abort !== null) {
    if (abort.later.length >= LATER_CAUSES_MAX) return;
    draft.state = { ...draft.state, abort: { cause: abort.cause, later: [...abort.later, cause] } };
    return;
  }
  draft.state = { ...draft.state, abort: { cause, later: [] } };
  for (const open of draft.state.open.values()) fail(draft, open, cause);
  const ranks = members.filter((member) => member.status === "present").map((member) => member.rank);
  draft.instructions.push({ type: "aborted", cause, ranks });
}

function takeReset(draft: Draft, { epoch, worldSize }: ResetEvent): void {
  const current = Math.max(draft.state.epoch, draft.state.supersededBy ?? 0);
  if (epoch <= current) {
    throw new DistributionError("RANKCAST_PROTOCOL", `a reset must raise the epoch: expected more than ${current}, found ${epoch}`, {
      details: { expected: current, found: epoch },
    });
  }
  const fresh = createBarrierState({ epoch, worldSize });
  // A superseded coordinator may not decide: whoever waits here learns nothing from it.
  if (draft.state.supersededBy === null) {
    for (const open of draft.state.open.values()) fail(draft, open, { kind: "reset", epoch });
  }
  draft.state = fresh;
  draft.own = new WeakSet();
}
