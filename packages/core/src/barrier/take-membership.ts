/** What joining, leaving, progress and loss do. Nobody waits for a member that is known to be gone. */
import type { FailureCause } from "./barrier-decision.ts";
import type { JoinEvent, LeaveEvent, LossEvent, ProgressEvent } from "./barrier-event.ts";
import { BARRIER_TEXT_MAX, type BarrierMember } from "./barrier-state.ts";
import { type Draft, describe, fail, listMembers, refuse, setMember } from "./draft.ts";

/** Lets a process in; a larger incarnation replaces the process that had the rank, and what waits for that one fails. */
export function takeJoin(draft: Draft, event: JoinEvent): void {
  const { rank, incarnation, place } = event;
  const member = draft.state.members[rank];
  if (member === undefined) {
    refuse(draft, "unknown-rank", event);
    return;
  }
  const gone = member.status === "lost" || member.status === "left";
  if (incarnation < member.incarnation || !Number.isSafeInteger(incarnation) || (gone && incarnation === member.incarnation)) {
    refuse(draft, "fenced", event);
    return;
  }
  const replaces = gone || (member.status === "present" && incarnation > member.incarnation);
  if (replaces && member.status === "present") replaceProcess(draft, member, incarnation);
  const joinedAfter = replaces ? draft.state.sequence : member.joinedAfter;
  const phase = incarnation === member.incarnation ? member.phase : "";
  setMember(draft, { rank, status: "present", incarnation, place, phase, progressMs: draft.nowMs, joinedAfter });
  const { epoch, names } = draft.state;
  const generations = joinedAfter === 0 ? [] : [...names].map(([name, { nextGeneration }]) => [name, nextGeneration] as const);
  draft.instructions.push({ type: "admit", rank, incarnation, epoch, generations });
}

/** The old process is cut off and given up first, so that what waits for it fails without telling it. */
function replaceProcess(draft: Draft, member: BarrierMember, replacedBy: number): void {
  const { rank, incarnation } = member;
  draft.instructions.push({ type: "fence", rank, incarnation });
  setMember(draft, { ...member, status: "lost" });
  failThoseWith(draft, rank, () => ({ kind: "restart", member: describe(draft, rank), incarnation, replacedBy }));
}

/** Takes a goodbye. Whoever waits for this member fails now, and so does everyone who comes later. */
export function takeLeave(draft: Draft, { rank }: LeaveEvent, member: BarrierMember): void {
  setMember(draft, { ...member, status: "left" });
  failThoseWith(draft, rank, () => ({ kind: "left", left: listMembers(draft.state, [rank], draft.nowMs) }));
}

/** Takes the news that a process is gone; news of another incarnation is old. */
export function takeLoss(draft: Draft, { rank, incarnation, loss, reason }: LossEvent): void {
  const member = draft.state.members[rank];
  if (member === undefined || member.status === "lost" || member.status === "left") return;
  if (incarnation !== null && incarnation !== member.incarnation) return;
  setMember(draft, { ...member, status: "lost", loss: { kind: loss, reason: reason.slice(0, BARRIER_TEXT_MAX) } });
  // Its connection may still be open: a frozen process must not go on when it wakes up.
  if (member.status === "present") draft.instructions.push({ type: "fence", rank, incarnation: member.incarnation });
  failThoseWith(draft, rank, () => ({ kind: "loss", lost: listMembers(draft.state, [rank], draft.nowMs) }));
}

/** Takes a sign of life. The deadline moves with it, but the timer stays where it is and finds out when it fires. */
export function takeProgress(draft: Draft, event: ProgressEvent, member: BarrierMember): void {
  setMember(draft, { ...member, phase: event.phase.slice(0, BARRIER_TEXT_MAX), progressMs: draft.nowMs });
}

/** Fails every open generation this rank takes part in, arrived or not: without it there is no pass. */
function failThoseWith(draft: Draft, rank: number, causeOf: () => FailureCause): void {
  for (const open of draft.state.open.values()) {
    if (open.participants.includes(rank)) fail(draft, open, causeOf());
  }
}
