/** The sender's one function: what happened in, what to do out. */
import type { ChunkSet } from "./chunk-set.ts";
import type { SenderEvent, SenderInstruction } from "./sender-event.ts";
import {
  acknowledging,
  freshConnection,
  type SenderConnection,
  type SenderState,
  type Subscription,
  sending,
  unacknowledgedBytesOf,
} from "./sender-state.ts";

/** The state after an event, and what the driver must do, in order. */
export interface SenderStep {
  readonly state: SenderState;
  readonly instructions: readonly SenderInstruction[];
}

interface Draft {
  state: SenderState;
  readonly nowMs: number;
  readonly instructions: SenderInstruction[];
}

/** Parts of the time after which a node is stalled: a connection is dead after the first, when another was heard the second later than it. */
const SILENT_PART = 0.3;
const OUTLIVED_PART = 0.15;

/**
 * One step. `state` stays as it was.
 *
 * Guarantees: a chunk is on its way over at most one connection of a subscription, only when it is available and asked for, and again only when
 * its connection is over; what is sent and not acknowledged stays within the subscription's credits, and within a connection's share of them
 * (one chunk is always allowed); what one subscription does changes nothing for others.
 */
export function stepSender(state: SenderState, event: SenderEvent): SenderStep {
  const draft: Draft = { state, nowMs: event.nowMs, instructions: [] };
  take(draft, event);
  askForTimer(draft);
  return { state: draft.state, instructions: draft.instructions };
}

function take(draft: Draft, event: SenderEvent): void {
  const { state, nowMs } = draft;
  switch (event.type) {
    case "available":
      draft.state = { ...state, available: state.available.with(event.chunk) };
      for (const each of state.subscriptions.values()) if (each.want.has(event.chunk)) fill(draft, each.subscription);
      return;
    case "subscribe":
      subscribe(draft, event);
      return;
    case "acknowledged":
      takeAcknowledgement(draft, event.subscription, event.connection, event.chunk);
      return;
    case "alive": {
      const subscription = state.subscriptions.get(event.subscription);
      const connection = subscription?.connections.get(event.connection);
      if (subscription && connection) set(draft, { ...withConnection(subscription, { ...connection, heardMs: nowMs }), heardMs: nowMs });
      return;
    }
    case "lost":
      takeLoss(draft, event.subscription, event.connection, event.missing);
      return;
    case "finished":
      draft.state = { ...state, finished: new Set(state.finished).add(event.nodeRank) };
      drop(draft, event.subscription);
      return;
    case "gone":
      leave(draft, event.subscription, event.connection);
      return;
    case "timer":
      draft.state = { ...state, timerDueMs: null };
      for (const each of state.subscriptions.values()) judge(draft, each);
  }
}

function subscribe(draft: Draft, event: SenderEvent & { readonly type: "subscribe" }): void {
  const { state, nowMs } = draft;
  const { subscription, connection, nodeRank, want, creditBytes } = event;
  const stalled = new Set(state.stalled);
  stalled.delete(nodeRank);
  draft.state = { ...state, stalled };
  const fresh: Subscription = {
    ...{ subscription, nodeRank, want, creditBytes, heardMs: nowMs, ackMs: nowMs },
    connections: new Map(),
    named: false,
  };
  set(draft, withConnection(state.subscriptions.get(subscription) ?? fresh, freshConnection(connection, nowMs)));
  fill(draft, subscription);
}

function takeAcknowledgement(draft: Draft, id: number, connection: number, chunk: number): void {
  const subscription = draft.state.subscriptions.get(id);
  const over = subscription?.connections.get(connection);
  if (subscription === undefined || over === undefined) return;
  const after = acknowledging(over, chunk, draft.nowMs);
  if (after === null) {
    draft.instructions.push({ type: "cut", subscription: id, connection, reason: "protocol" });
    leave(draft, id, connection);
    return;
  }
  set(draft, { ...withConnection(subscription, after), heardMs: draft.nowMs, ackMs: draft.nowMs, named: false });
  fill(draft, id);
}

/** What the receiver has is not sent again, whatever was on its way over the connection that broke; the rest goes over the others. */
function takeLoss(draft: Draft, id: number, connection: number, missing: ChunkSet): void {
  const subscription = draft.state.subscriptions.get(id);
  if (subscription === undefined) return;
  if (subscription.connections.has(connection)) {
    draft.instructions.push({ type: "cut", subscription: id, connection, reason: "lost" });
    leave(draft, id, connection, missing);
    return;
  }
  set(draft, { ...subscription, want: subscription.want.and(missing) });
}

/** The connection is over: what was on its way is wanted again. */
function leave(draft: Draft, id: number, connection: number, missing: ChunkSet | null = null): void {
  const subscription = draft.state.subscriptions.get(id);
  const over = subscription?.connections.get(connection);
  if (subscription === undefined || over === undefined) return;
  const connections = new Map(subscription.connections);
  connections.delete(connection);
  if (connections.size === 0) {
    drop(draft, id);
    return;
  }
  let { want } = subscription;
  for (const chunk of over.unacknowledged.keys()) want = want.with(chunk);
  set(draft, { ...subscription, connections, want: missing === null ? want : want.and(missing) });
  fill(draft, id);
}

/** Sends what is there, lowest first, as far as credits go. */
function fill(draft: Draft, id: number): void {
  for (let subscription = draft.state.subscriptions.get(id); subscription !== undefined; ) {
    const index = subscription.want.firstShared(draft.state.available);
    if (index < 0) break;
    const { length } = draft.state.options.layout.chunk(index);
    const connection = leastLoaded(subscription);
    if (connection === null || !hasCredit(draft.state, subscription, connection, length)) break;
    const clock = unacknowledgedBytesOf(subscription) === 0 ? { heardMs: draft.nowMs, ackMs: draft.nowMs } : {};
    const sent = sending(connection, index, length, draft.nowMs);
    subscription = { ...withConnection(subscription, sent), ...clock, want: subscription.want.without(index) };
    set(draft, subscription);
    draft.instructions.push({ type: "send", subscription: id, connection: connection.connection, chunk: index });
  }
}

function leastLoaded({ connections }: Subscription): SenderConnection | null {
  let least: SenderConnection | null = null;
  for (const each of connections.values()) if (least === null || each.unacknowledgedBytes < least.unacknowledgedBytes) least = each;
  return least;
}

/** A connection's share ends what a slow one can hold up; the sum is the subscription's. */
function hasCredit(
  { options }: SenderState,
  subscription: Subscription,
  { unacknowledgedBytes }: SenderConnection,
  length: number,
): boolean {
  const { creditBytes, connections } = subscription;
  const allBytes = unacknowledgedBytesOf(subscription);
  if (allBytes === 0) return true;
  if (allBytes + length > creditBytes) return false;
  return unacknowledgedBytes === 0 || unacknowledgedBytes + length <= creditBytes / Math.max(options.connections, connections.size);
}

function judge(draft: Draft, subscription: Subscription): void {
  const { stallMs } = draft.state.options;
  const { subscription: id, nodeRank, connections, heardMs, ackMs, named } = subscription;
  const busy = [...connections.values()].filter(({ unacknowledged }) => unacknowledged.size > 0);
  const silent = busy.filter((each) => draft.nowMs >= silentMs(each, subscription, stallMs));
  // A connection that is idle, or has begun later, may be as good as ever: what the silent ones held is tried over it first.
  if (silent.length === connections.size) {
    draft.state = { ...draft.state, stalled: new Set(draft.state.stalled).add(nodeRank) };
    drop(draft, id);
    for (const connection of connections.keys()) draft.instructions.push({ type: "cut", subscription: id, connection, reason: "silent" });
    draft.instructions.push({ type: "stalled", nodeRank, silentMs: draft.nowMs - heardMs });
    return;
  }
  if (busy.length > 0 && !named && draft.nowMs >= ackMs + stallMs / 2) {
    set(draft, { ...subscription, named: true });
    draft.instructions.push({ type: "slow", nodeRank, silentMs: draft.nowMs - ackMs });
  }
  for (const { connection } of silent) {
    draft.instructions.push({ type: "cut", subscription: id, connection, reason: "silent" });
    leave(draft, id, connection);
  }
}

/**
 * When a connection with chunks on their way is held for dead. Earlier when others of its subscription were heard long after it: a node that lives says so
 * every second on each connection over which bytes arrive.
 */
function silentMs({ heardMs }: SenderConnection, subscription: Subscription, stallMs: number): number {
  return heardMs + (subscription.heardMs >= heardMs + OUTLIVED_PART * stallMs ? SILENT_PART * stallMs : stallMs);
}

function withConnection(subscription: Subscription, connection: SenderConnection): Subscription {
  return { ...subscription, connections: new Map(subscription.connections).set(connection.connection, connection) };
}

function set(draft: Draft, subscription: Subscription): void {
  draft.state = { ...draft.state, subscriptions: new Map(draft.state.subscriptions).set(subscription.subscription, subscription) };
}

function drop(draft: Draft, id: number): void {
  const subscriptions = new Map(draft.state.subscriptions);
  subscriptions.delete(id);
  draft.state = { ...draft.state, subscriptions };
}

/** One timer for whoever would be judged first. */
function askForTimer(draft: Draft): void {
  const { subscriptions, options, timerDueMs } = draft.state;
  let dueMs = Number.POSITIVE_INFINITY;
  for (const subscription of subscriptions.values()) {
    const { connections, ackMs, named } = subscription;
    for (const connection of connections.values()) {
      if (connection.unacknowledged.size === 0) continue;
      dueMs = Math.min(
        dueMs,
        silentMs(connection, subscription, options.stallMs),
        named ? Number.POSITIVE_INFINITY : ackMs + options.stallMs / 2,
      );
    }
  }
  if (dueMs === Number.POSITIVE_INFINITY || (timerDueMs !== null && timerDueMs <= dueMs)) return;
  draft.state = { ...draft.state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}
