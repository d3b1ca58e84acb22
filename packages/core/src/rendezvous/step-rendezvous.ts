/** The rendezvous' one function: what happened in, what to do out. No clock, no I/O. */
import { toErrorRecord } from "../errors/error-record.ts";
import { formMembership } from "./membership.ts";
import type { NodeAnnouncement, NodeOutcome, RendezvousEvent } from "./rendezvous-event.ts";
import type { NodeRefusal, RendezvousInstruction } from "./rendezvous-instruction.ts";
import {
  type JobOutcome,
  LATER_FAILURES_MAX,
  type Membership,
  type MissingNode,
  type NodeFailure,
  type NodePlace,
  type RendezvousOptions,
  type RendezvousState,
} from "./rendezvous-state.ts";

/** The state after an event, and what the head coordinator must do, in order. */
export interface RendezvousStep {
  readonly state: RendezvousState;
  readonly instructions: readonly RendezvousInstruction[];
}

interface Draft {
  state: RendezvousState;
  readonly nowMs: number;
  readonly instructions: RendezvousInstruction[];
}

const TEXT_MAX = 1024;

/**
 * One step. `state` stays as it was.
 *
 * Guarantees: a membership has exactly `nodeCount` nodes with node ranks 0 to `nodeCount - 1`, and their ranks are 0 to the world
 * size; epochs grow, each has at most one membership; every node of it is told the same; the first failure of an epoch is its cause;
 * at most `maxRestarts` epochs follow the first; after the end nothing starts.
 */
export function stepRendezvous(state: RendezvousState, event: RendezvousEvent): RendezvousStep {
  const draft: Draft = { state, nowMs: event.nowMs, instructions: [] };
  take(draft, event);
  askForTimer(draft);
  return { state: draft.state, instructions: draft.instructions };
}

/** How a node of the running or last membership is named. */
export function placeOf({ host, pid, nodeRank }: NodeAnnouncement, membership: Membership | null, nodeId: string): NodePlace {
  return { nodeRank: membership?.nodes.find((each) => each.nodeId === nodeId)?.nodeRank ?? nodeRank, host, pid };
}

function take(draft: Draft, event: RendezvousEvent): void {
  switch (event.type) {
    case "ready":
      if (!Number.isFinite(draft.state.gatheringSinceMs)) draft.state = { ...draft.state, gatheringSinceMs: event.nowMs };
      return;
    case "join":
      takeJoin(draft, event.node, event.epoch);
      return;
    case "heard":
      touch(draft, event.nodeId);
      return;
    case "report":
      takeReport(draft, event.nodeId, event.epoch, event.outcome);
      return;
    case "loss":
      takeLoss(draft, event.nodeId, event.reason);
      return;
    case "abort": {
      const node = event.nodeId === null ? null : nameOf(draft.state, event.nodeId);
      if (draft.state.phase !== "ended") end(draft, { kind: "abort", node, error: event.error });
      return;
    }
    case "timer":
      draft.state = { ...draft.state, timerDueMs: null };
      takeTimer(draft);
  }
}

function takeJoin(draft: Draft, node: NodeAnnouncement, readyFor: number | null): void {
  const { nodeId } = node;
  const refusal = refusalOf(draft.state, node);
  if (refusal !== null) {
    draft.instructions.push({ type: "refuse", nodeId, refusal });
    return;
  }
  const { phase, membership, epoch, options } = draft.state;
  if (phase === "running" && membership !== null) {
    // It is a member, or it would have been refused: it asks again after a lost message.
    touch(draft, nodeId);
    draft.instructions.push({ type: "start", nodeIds: [nodeId], membership });
    return;
  }
  // A copy of an earlier join: its ranks may still run.
  if (draft.state.present.get(nodeId)?.joined === false && readyFor !== epoch) return;
  const present = new Map(draft.state.present).set(nodeId, { node, heardMs: draft.nowMs, joined: true, succeeded: false });
  draft.state = { ...draft.state, present };
  const joined = [...present.values()].filter((each) => each.joined).map((each) => each.node);
  if (!isWhole(options, joined)) {
    draft.instructions.push({ type: "wait", nodeId, epoch, joined: joined.length, nodeCount: options.nodeCount });
  } else start(draft, joined);
}

/** Whether these nodes are the job. */
function isWhole({ nodeCount, worldSize }: RendezvousOptions, nodes: readonly NodeAnnouncement[]): boolean {
  if (nodeCount !== null) return nodes.length >= nodeCount;
  return nodes.reduce((sum, { localWorldSize }) => sum + localWorldSize, 0) >= (worldSize ?? Number.POSITIVE_INFINITY);
}

function start(draft: Draft, joined: readonly NodeAnnouncement[]): void {
  const { options, epoch } = draft.state;
  let membership: Membership;
  try {
    membership = formMembership(options.jobId, epoch, joined);
  } catch (error) {
    // The same nodes would say the same again: no restart helps.
    end(draft, { kind: "topology", error: toErrorRecord(error) });
    return;
  }
  draft.state = { ...draft.state, phase: "running", membership };
  draft.instructions.push({ type: "start", nodeIds: membership.nodes.map(({ nodeId }) => nodeId), membership });
}

function refusalOf({ options, phase, outcome, present, membership }: RendezvousState, node: NodeAnnouncement): NodeRefusal | null {
  const { jobId, protocol, nodeCount, worldSize = null } = options;
  const field = malformedField(node);
  if (field !== null) return { kind: "malformed", field };
  if (node.jobId !== jobId) return { kind: "wrong-job", expected: jobId, found: node.jobId };
  if (node.protocol !== protocol) return { kind: "wrong-protocol", expected: protocol, found: node.protocol };
  if (node.nodeCount !== null && nodeCount !== null && node.nodeCount !== nodeCount) {
    return { kind: "wrong-node-count", expected: nodeCount, found: node.nodeCount };
  }
  if (worldSize !== null && node.worldSize !== undefined && node.worldSize !== worldSize) {
    return { kind: "wrong-world-size", expected: worldSize, found: node.worldSize };
  }
  if (outcome !== null) return { kind: "ended", outcome };
  if (node.nodeRank !== null && nodeCount !== null && node.nodeRank >= nodeCount)
    return { kind: "node-rank", nodeRank: node.nodeRank, nodeCount };
  for (const other of present.values()) {
    const taken = other.node.nodeRank ?? (phase === "running" ? placeOf(other.node, membership, other.node.nodeId).nodeRank : null);
    if (node.nodeRank === null || other.node.nodeId === node.nodeId || taken !== node.nodeRank) continue;
    return { kind: "duplicate", nodeRank: node.nodeRank, holder: placeOf(other.node, membership, other.node.nodeId) };
  }
  if (present.has(node.nodeId)) return null;
  // An epoch keeps its members, and nodes of the epoch before keep their places while they stop their ranks.
  return phase === "running" ||
    isWhole(
      options,
      [...present.values()].map((each) => each.node),
    )
    ? { kind: "full", nodeCount }
    : null;
}

function malformedField({ nodeId, jobId, host, address, nodeRank, localWorldSize, ranks }: NodeAnnouncement): string | null {
  for (const [field, text] of Object.entries({ nodeId, jobId, host, address })) {
    if (text.length > TEXT_MAX || (field !== "address" && text === "")) return field;
  }
  if (nodeRank !== null && !isCount(nodeRank)) return "nodeRank";
  if (!isCount(localWorldSize) || localWorldSize === 0) return "localWorldSize";
  return ranks !== null && (ranks.length !== localWorldSize || !ranks.every(isCount)) ? "ranks" : null;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function takeReport(draft: Draft, nodeId: string, epoch: number, outcome: NodeOutcome): void {
  const { state } = draft;
  const present = state.present.get(nodeId);
  touch(draft, nodeId);
  if (present === undefined || state.phase !== "running" || epoch !== state.epoch) {
    if (outcome.type === "failed") addLater(draft, nodeId, outcome);
    return;
  }
  if (outcome.type === "failed") {
    failEpoch(draft, { kind: "failed", node: placeOf(present.node, state.membership, nodeId), error: outcome.error });
    return;
  }
  const all = new Map(draft.state.present).set(nodeId, { ...present, heardMs: draft.nowMs, succeeded: true });
  draft.state = { ...draft.state, present: all };
  if ([...all.values()].every(({ succeeded }) => succeeded)) finish(draft, { type: "success" });
}

/** A failure that comes after the end is listed behind the cause. */
function addLater(draft: Draft, nodeId: string, { error }: Extract<NodeOutcome, { type: "failed" }>): void {
  const { outcome, present, membership } = draft.state;
  const node = present.get(nodeId)?.node;
  if (outcome?.type !== "failure" || node === undefined || outcome.later.length >= LATER_FAILURES_MAX) return;
  const failure: NodeFailure = { kind: "failed", node: placeOf(node, membership, nodeId), error };
  draft.state = { ...draft.state, outcome: { ...outcome, later: [...outcome.later, failure] } };
}

function takeLoss(draft: Draft, nodeId: string, reason: string): void {
  const { state } = draft;
  const lost = state.present.get(nodeId);
  if (lost === undefined) return;
  const present = new Map(state.present);
  present.delete(nodeId);
  draft.state = { ...state, present };
  draft.instructions.push({ type: "drop", nodeId });
  // While nodes gather its place is free again; the join timeout says what is missing. A node that is through may go.
  if (state.phase !== "running" || lost.succeeded) {
    if (state.phase === "running" && present.size > 0 && [...present.values()].every(({ succeeded }) => succeeded))
      finish(draft, { type: "success" });
    return;
  }
  failEpoch(draft, { kind: "loss", node: placeOf(lost.node, state.membership, nodeId), reason: reason.slice(0, TEXT_MAX) });
}

/** The epoch is over; the next one gathers at once, or the job ends. */
function failEpoch(draft: Draft, cause: NodeFailure): void {
  const { state, nowMs } = draft;
  const { maxRestarts, firstEpoch } = state.options;
  if (state.epoch - firstEpoch >= maxRestarts) {
    end(draft, cause);
    return;
  }
  const present = new Map([...state.present].map(([nodeId, each]) => [nodeId, { ...each, joined: false, succeeded: false }]));
  const epoch = state.epoch + 1;
  draft.state = { ...state, phase: "gathering", epoch, gatheringSinceMs: nowMs, present };
  draft.instructions.push({ type: "restart", nodeIds: [...present.keys()], epoch, cause });
}

function end(draft: Draft, cause: NodeFailure): void {
  finish(draft, { type: "failure", cause, later: [], restarts: draft.state.epoch - draft.state.options.firstEpoch });
}

function finish(draft: Draft, outcome: JobOutcome): void {
  draft.state = { ...draft.state, phase: "ended", outcome };
  draft.instructions.push({ type: "end", nodeIds: [...draft.state.present.keys()], outcome });
}

function takeTimer(draft: Draft): void {
  const { state, nowMs } = draft;
  if (state.phase === "ended") return;
  const { silenceMs, joinTimeoutMs } = state.options;
  for (const [nodeId, { heardMs }] of state.present) {
    if (nowMs - heardMs >= silenceMs) takeLoss(draft, nodeId, `no sign of life for ${((nowMs - heardMs) / 1000).toFixed(1)} s`);
  }
  if (draft.state.phase !== "gathering" || nowMs - draft.state.gatheringSinceMs < joinTimeoutMs) return;
  const missing = missingNodes(draft.state);
  const ranks = draft.state.options.nodeCount === null ? { missingRanks: missingRanks(draft.state) } : {};
  end(draft, { kind: "timeout", joinTimeoutMs, missing, ...ranks, joined: joinedNodes(draft.state) });
}

/** Ranks that no joined node has; what is known where the number of nodes is not. */
function missingRanks({ options, present }: RendezvousState): number[] {
  const there = new Set([...present.values()].filter((each) => each.joined).flatMap((each) => each.node.ranks ?? []));
  return Array.from({ length: options.worldSize ?? 0 }, (_, rank) => rank).filter((rank) => !there.has(rank));
}

/** Who is not there: by node rank when all that are there chose theirs, and with the last known place. */
function missingNodes({ options, present, membership }: RendezvousState): MissingNode[] {
  if (options.nodeCount === null) return [];
  const joined = [...present.values()].filter((each) => each.joined).map((each) => each.node);
  const ranks = joined.map((node) => placeOf(node, membership, node.nodeId).nodeRank);
  const count = options.nodeCount - joined.length;
  if (ranks.includes(null)) return Array.from({ length: count }, () => ({ nodeRank: null, last: null }));
  const missing: MissingNode[] = [];
  for (let nodeRank = 0; nodeRank < options.nodeCount; nodeRank += 1) {
    if (ranks.includes(nodeRank)) continue;
    const last = membership?.nodes[nodeRank];
    missing.push({ nodeRank, last: last === undefined ? null : { nodeRank, host: last.host, pid: last.pid } });
  }
  return missing;
}

function joinedNodes({ present, membership }: RendezvousState): NodePlace[] {
  return [...present.values()].filter((each) => each.joined).map(({ node }) => placeOf(node, membership, node.nodeId));
}

function nameOf({ present, membership }: RendezvousState, nodeId: string): NodePlace | null {
  const node = present.get(nodeId)?.node;
  return node === undefined ? null : placeOf(node, membership, nodeId);
}

function touch(draft: Draft, nodeId: string): void {
  const present = draft.state.present.get(nodeId);
  if (present === undefined) return;
  draft.state = { ...draft.state, present: new Map(draft.state.present).set(nodeId, { ...present, heardMs: draft.nowMs }) };
}

/** One timer, for whatever is due first. Signs of life only move it later, and it finds that out when it fires. */
function askForTimer(draft: Draft): void {
  const { phase, present, options, gatheringSinceMs, timerDueMs } = draft.state;
  if (phase === "ended") {
    if (timerDueMs !== null) draft.instructions.push({ type: "clearTimer" });
    draft.state = { ...draft.state, timerDueMs: null };
    return;
  }
  let dueMs = phase === "gathering" ? gatheringSinceMs + options.joinTimeoutMs : Number.POSITIVE_INFINITY;
  for (const { heardMs } of present.values()) dueMs = Math.min(dueMs, heardMs + options.silenceMs);
  if (dueMs === Number.POSITIVE_INFINITY || (timerDueMs !== null && timerDueMs <= dueMs)) return;
  draft.state = { ...draft.state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}
