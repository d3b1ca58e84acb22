/** The sender's one function: what happened in, what to do out. */
import type { ChunkSet } from "./chunk-set.ts";
import type { SenderState, Subscription } from "./sender-state.ts";

/** What happened. */
export type SenderEvent = { readonly nowMs: number } /** A chunk is here and verified. */ & (
  | { readonly type: "available"; readonly chunk: number }
  | {
      readonly type: "subscribe";
      readonly subscription: number;
      readonly nodeRank: number;
      readonly want: ChunkSet;
      readonly creditBytes: number;
    }
  | { readonly type: "acknowledged"; readonly subscription: number; readonly chunk: number }
  /** Part of a chunk has arrived there. */
  | { readonly type: "alive"; readonly subscription: number }
  /** The node has every chunk. */
  | { readonly type: "finished"; readonly nodeRank: number }
  | { readonly type: "gone"; readonly subscription: number }
  | { readonly type: "timer" }
);

/** What the driver must do, in order. */
export type SenderInstruction =
  | { readonly type: "send"; readonly subscription: number; readonly chunk: number }
  /** For logs and errors: this node takes much longer than it should. */
  | { readonly type: "slow"; readonly nodeRank: number; readonly silentMs: number }
  /** Close the connection; the node is stalled, or did what no node of ours does. */
  | {
      readonly type: "cut";
      readonly subscription: number;
      readonly nodeRank: number;
      readonly reason: "stalled" | "protocol";
      readonly silentMs: number;
    }
  | { readonly type: "setTimer"; readonly dueMs: number };

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

/**
 * One step. `state` stays as it was.
 *
 * Guarantees: a chunk is sent to a subscription at most once and only when it is available and asked for; what is sent and not
 * acknowledged stays within the subscription's credits (one chunk is always allowed); what one subscription does changes nothing for others.
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
    case "subscribe": {
      const { subscription, nodeRank, want, creditBytes } = event;
      const fresh = { subscription, nodeRank, want, creditBytes, unacknowledged: new Map(), unacknowledgedBytes: 0, named: false };
      const stalled = new Set(state.stalled);
      stalled.delete(nodeRank);
      draft.state = { ...state, stalled };
      set(draft, { ...fresh, heardMs: nowMs, ackMs: nowMs });
      fill(draft, subscription);
      return;
    }
    case "acknowledged":
      takeAcknowledgement(draft, event.subscription, event.chunk);
      return;
    case "alive": {
      const subscription = state.subscriptions.get(event.subscription);
      if (subscription) set(draft, { ...subscription, heardMs: nowMs });
      return;
    }
    case "finished":
      draft.state = { ...state, finished: new Set(state.finished).add(event.nodeRank) };
      return;
    case "gone":
      drop(draft, event.subscription);
      return;
    case "timer":
      draft.state = { ...state, timerDueMs: null };
      for (const each of state.subscriptions.values()) judge(draft, each);
  }
}

function takeAcknowledgement(draft: Draft, id: number, chunk: number): void {
  const subscription = draft.state.subscriptions.get(id);
  if (subscription === undefined) return;
  const nbytes = subscription.unacknowledged.get(chunk);
  if (nbytes === undefined) {
    cut(draft, subscription, "protocol");
    return;
  }
  const unacknowledged = new Map(subscription.unacknowledged);
  unacknowledged.delete(chunk);
  const unacknowledgedBytes = subscription.unacknowledgedBytes - nbytes;
  set(draft, { ...subscription, unacknowledged, unacknowledgedBytes, heardMs: draft.nowMs, ackMs: draft.nowMs, named: false });
  fill(draft, id);
}

/** Sends what is there, lowest first, as far as credits go. */
function fill(draft: Draft, id: number): void {
  let subscription = draft.state.subscriptions.get(id);
  while (subscription !== undefined) {
    const index = subscription.want.firstShared(draft.state.available);
    if (index < 0) break;
    const { length } = draft.state.options.layout.chunk(index);
    const { unacknowledgedBytes, unacknowledged, creditBytes, want } = subscription;
    if (unacknowledged.size > 0 && unacknowledgedBytes + length > creditBytes) break;
    // The clock of silence starts with the first chunk on its way: who waits for us is not slow.
    const clock = unacknowledged.size === 0 ? { heardMs: draft.nowMs, ackMs: draft.nowMs } : {};
    subscription = {
      ...subscription,
      ...clock,
      want: want.without(index),
      unacknowledged: new Map(unacknowledged).set(index, length),
      unacknowledgedBytes: unacknowledgedBytes + length,
    };
    set(draft, subscription);
    draft.instructions.push({ type: "send", subscription: id, chunk: index });
  }
}

function judge(draft: Draft, subscription: Subscription): void {
  if (subscription.unacknowledged.size === 0) return;
  const { stallMs } = draft.state.options;
  if (draft.nowMs >= subscription.heardMs + stallMs) {
    draft.state = { ...draft.state, stalled: new Set(draft.state.stalled).add(subscription.nodeRank) };
    cut(draft, subscription, "stalled");
  } else if (!subscription.named && draft.nowMs >= subscription.ackMs + stallMs / 2) {
    set(draft, { ...subscription, named: true });
    draft.instructions.push({ type: "slow", nodeRank: subscription.nodeRank, silentMs: draft.nowMs - subscription.ackMs });
  }
}

function cut(draft: Draft, subscription: Subscription, reason: "stalled" | "protocol"): void {
  drop(draft, subscription.subscription);
  const { nodeRank, heardMs } = subscription;
  draft.instructions.push({ type: "cut", subscription: subscription.subscription, nodeRank, reason, silentMs: draft.nowMs - heardMs });
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
  for (const { unacknowledged, heardMs, ackMs, named } of subscriptions.values()) {
    if (unacknowledged.size === 0) continue;
    dueMs = Math.min(dueMs, heardMs + options.stallMs, named ? Number.POSITIVE_INFINITY : ackMs + options.stallMs / 2);
  }
  if (dueMs === Number.POSITIVE_INFINITY || (timerDueMs !== null && timerDueMs <= dueMs)) return;
  draft.state = { ...draft.state, timerDueMs: dueMs };
  draft.instructions.push({ type: "setTimer", dueMs });
}
