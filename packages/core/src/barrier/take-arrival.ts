/** What an arrival does: join a generation, learn a decision, or be refused. */
import { rankRanges } from "../topology/rank-ranges.ts";
import type { FailureCause } from "./barrier-decision.ts";
import type { ArriveEvent, FailEvent } from "./barrier-event.ts";
import { BARRIER_NAMES_MAX, BARRIER_TEXT_MAX, type BarrierMember, LATER_CAUSES_MAX, type OpenGeneration } from "./barrier-state.ts";
import { type Draft, describe, fail, listMembers, pass, refuse, setMember, setOpen, setSettled, settledOf, withArrival } from "./draft.ts";

/** Takes an arrival of a member that `admitSender` let through. */
export function takeArrival(draft: Draft, event: ArriveEvent, member: BarrierMember): void {
  if (!isWellFormed(event, draft.state.members.length)) {
    refuse(draft, "malformed", event);
    return;
  }
  const { nextGeneration } = settledOf(draft.state, event.name);
  if (event.generation < nextGeneration) {
    answerLate(draft, event, member);
    return;
  }
  if (nextGeneration === 1 && !draft.state.open.has(event.name) && nameCount(draft) >= BARRIER_NAMES_MAX) {
    refuse(draft, "too-many-names", event);
    return;
  }
  setMember(draft, { ...member, progressMs: draft.nowMs });
  if (event.generation > nextGeneration) {
    failAhead(draft, event, nextGeneration);
    return;
  }
  const open = draft.state.open.get(event.name);
  if (open === undefined) openAndEnter(draft, event);
  else if (!sameParticipants(open, event)) failOthers(draft, open, event);
  else enter(draft, open, event);
}

/** Takes a failure of the coordinator's own; nobody has to have arrived. */
export function takeFail(draft: Draft, { name, generation, error }: FailEvent): void {
  const { nextGeneration } = settledOf(draft.state, name);
  if (generation !== null && generation !== nextGeneration) return;
  const open =
    draft.state.open.get(name) ?? emptyGeneration(draft, { name, generation: nextGeneration, participants: null, timeoutMs: 1, rank: 0 });
  fail(draft, open, { kind: "failed", member: null, error });
}

/** The generation is decided: the record answers, unless it is too old or from before this process. */
function answerLate(draft: Draft, event: ArriveEvent, member: BarrierMember): void {
  const settled = settledOf(draft.state, event.name);
  const at = settled.decisions.length - (settled.nextGeneration - event.generation);
  const decision = settled.decisions[at];
  if (decision === undefined) {
    refuse(draft, "out-of-range", event);
  } else if (decision.sequence <= member.joinedAfter) {
    refuse(draft, "before-join", event);
  } else if (decision.outcome === "pass" && decision.participants !== null && !decision.participants.includes(event.rank)) {
    refuse(draft, "not-a-participant", event);
  } else {
    draft.instructions.push({ type: "reply", rank: event.rank, incarnation: event.incarnation, decision });
    if (event.outcome.type === "failed" && decision.outcome === "fail" && decision.later.length < LATER_CAUSES_MAX) {
      const cause = failedArrival(draft, event, event.outcome.error);
      if (JSON.stringify(cause) === JSON.stringify(decision.cause)) return;
      const decisions = settled.decisions.with(at, { ...decision, later: [...decision.later, cause] });
      setSettled(draft, event.name, { ...settled, decisions });
    }
  }
}

/** A member that is further than the generation everybody is at has skipped a barrier: those who are at it cannot pass. */
function failAhead(draft: Draft, event: ArriveEvent, expected: number): void {
  const member = describe(draft, event.rank);
  const open = draft.state.open.get(event.name) ?? emptyGeneration(draft, { ...event, generation: expected });
  fail(draft, open, { kind: "ahead", member, generation: event.generation, expected });
  refuse(draft, "ahead", event);
}

/** Participants differ. The sender may be none of those that the generation knows, so it is answered by name. */
function failOthers(draft: Draft, open: OpenGeneration, event: ArriveEvent): void {
  const known = withArrival(draft, open, event.rank, null);
  fail(draft, known, participantsDiffer(draft, open, event));
  if (positionOf(open, event.rank) === -1) {
    const decision = settledOf(draft.state, open.name).decisions.at(-1);
    if (decision !== undefined) draft.instructions.push({ type: "reply", rank: event.rank, incarnation: event.incarnation, decision });
  }
}

function openAndEnter(draft: Draft, event: ArriveEvent): void {
  const { state, nowMs } = draft;
  const open = emptyGeneration(draft, event);
  if (state.abort !== null) {
    fail(draft, withArrival(draft, open, event.rank, null), state.abort.cause);
    return;
  }
  const lost = open.participants.filter((rank) => state.members[rank]?.status === "lost");
  const left = open.participants.filter((rank) => state.members[rank]?.status === "left");
  if (lost.length > 0) fail(draft, withArrival(draft, open, event.rank, null), { kind: "loss", lost: listMembers(state, lost, nowMs) });
  else if (left.length > 0)
    fail(draft, withArrival(draft, open, event.rank, null), { kind: "left", left: listMembers(state, left, nowMs) });
  else {
    enter(draft, open, event);
    // Only now: a world of one has passed already and needs no timer.
    if (draft.state.open.has(open.name)) askForTimer(draft, nowMs + open.timeoutMs);
  }
}

/** One more member of an open generation; the last one decides. */
function enter(draft: Draft, open: OpenGeneration, event: ArriveEvent): void {
  if (event.outcome.type === "failed") {
    fail(draft, withArrival(draft, open, event.rank, null), failedArrival(draft, event, event.outcome.error));
    return;
  }
  if (open.digest !== null && open.digest.value !== event.digest) {
    const first = { member: describe(draft, open.digest.rank), value: open.digest.value };
    const other = { member: describe(draft, event.rank), value: event.digest };
    fail(draft, withArrival(draft, open, event.rank, null), { kind: "mismatch", about: "digest", first, other });
    return;
  }
  const entered = withArrival(draft, open, event.rank, event.digest);
  if (entered.arrivedCount === entered.participants.length) pass(draft, entered, event.rank);
  else if (draft.state.open.get(open.name) !== entered) setOpen(draft, entered);
}

function emptyGeneration(
  draft: Draft,
  event: Pick<ArriveEvent, "name" | "generation" | "participants" | "timeoutMs" | "rank">,
): OpenGeneration {
  const participants = event.participants ?? draft.state.members.map((member) => member.rank);
  return {
    name: event.name,
    generation: event.generation,
    participants,
    listed: event.participants !== null,
    arrived: new Array<boolean>(participants.length).fill(false),
    arrivedCount: 0,
    digest: null,
    openedMs: draft.nowMs,
    timeoutMs: event.timeoutMs,
    firstRank: event.rank,
  };
}

function positionOf({ listed, participants }: OpenGeneration, rank: number): number {
  return listed ? participants.indexOf(rank) : rank;
}

function failedArrival(draft: Draft, event: ArriveEvent, error: Extract<FailureCause, { kind: "failed" }>["error"]): FailureCause {
  return { kind: "failed", member: describe(draft, event.rank), error };
}

function sameParticipants(open: OpenGeneration, { participants }: ArriveEvent): boolean {
  if (participants === null || !open.listed) return (participants === null) === !open.listed;
  return participants.length === open.participants.length && participants.every((rank, at) => rank === open.participants[at]);
}

function participantsDiffer(draft: Draft, open: OpenGeneration, event: ArriveEvent): FailureCause {
  return {
    kind: "mismatch",
    about: "participants",
    first: { member: describe(draft, open.firstRank), value: open.listed ? rankRanges(open.participants) : "all" },
    other: { member: describe(draft, event.rank), value: event.participants === null ? "all" : rankRanges(event.participants) },
  };
}

function askForTimer(draft: Draft, dueMs: number): void {
  if (draft.state.timerDueMs !== null && draft.state.timerDueMs <= dueMs) return;
  draft.state = { ...draft.state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}

/** Names with a record or an open first generation. */
function nameCount({ state }: Draft): number {
  let fresh = 0;
  for (const name of state.open.keys()) if (!state.names.has(name)) fresh += 1;
  return state.names.size + fresh;
}

function isWellFormed({ name, digest, generation, timeoutMs, participants, rank }: ArriveEvent, worldSize: number): boolean {
  if (name.length > BARRIER_TEXT_MAX || digest.length > BARRIER_TEXT_MAX) return false;
  if (!Number.isSafeInteger(generation) || generation < 1 || !(timeoutMs > 0) || !Number.isFinite(timeoutMs)) return false;
  if (participants === null) return true;
  const ascending = participants.every((each, at) => Number.isInteger(each) && each > (participants[at - 1] ?? -1) && each < worldSize);
  return ascending && participants.includes(rank);
}
