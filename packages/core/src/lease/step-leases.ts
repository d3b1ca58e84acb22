/** The machine of leases: one event in, the next state and what to do out. Pure. */
import type { LeasedPublication, LeaseEvent, LeaseInstruction, LeaseState, LeaseSubscription } from "./lease-state.ts";

interface Draft {
  newest: number;
  readonly publications: Map<number, LeasedPublication>;
  readonly subscriptions: Map<string, LeaseSubscription>;
  readonly instructions: LeaseInstruction[];
}

/**
 * Takes one event. Events about subscriptions that are not there (late messages of one that ended) change nothing.
 * Bounds: a `latest` subscription refers to at most three versions and those beside the one it uses, so publishers never wait for it however slow it is.
 */
export function stepLeases(
  state: LeaseState,
  event: LeaseEvent,
): { readonly state: LeaseState; readonly instructions: readonly LeaseInstruction[] } {
  const draft: Draft = {
    newest: state.newest,
    publications: new Map(state.publications),
    subscriptions: new Map(state.subscriptions),
    instructions: [],
  };
  take(draft, event);
  freeUnused(draft);
  const { newest, publications, subscriptions, instructions } = draft;
  return { state: { newest, publications, subscriptions }, instructions };
}

function take(draft: Draft, event: LeaseEvent): void {
  switch (event.type) {
    case "publish":
      publish(draft, event);
      return;
    case "subscribe": {
      const { rank, id, policy } = event;
      const known = draft.publications.has(draft.newest);
      update(draft, { rank, id, policy, held: null, beside: [], offered: null, queue: known ? [draft.newest] : [] });
      return;
    }
    case "taken": {
      const subscription = draft.subscriptions.get(keyOf(event));
      if (subscription?.offered !== event.number) return;
      // Only what it holds: a version that has been given back may be another one by now.
      const held = new Set([subscription.held, ...subscription.beside]);
      update(draft, { ...subscription, held: event.number, beside: event.beside.filter((number) => held.has(number)), offered: null });
      return;
    }
    case "unsubscribe":
      draft.subscriptions.delete(keyOf(event));
      return;
    case "gone":
      for (const [key, { rank }] of draft.subscriptions) if (rank === event.rank) draft.subscriptions.delete(key);
      // Its memory is gone with it: nothing of it can be offered, and there is nobody to tell that it is free.
      for (const [number, { rank }] of draft.publications) if (rank === event.rank) forget(draft, number);
  }
}

function publish(draft: Draft, { rank, offer, version }: Extract<LeaseEvent, { type: "publish" }>): void {
  draft.newest += 1;
  const number = draft.newest;
  draft.publications.set(number, { number, rank, offer, version });
  for (const subscription of [...draft.subscriptions.values()]) {
    const queue = subscription.policy === "latest" ? [number] : [...subscription.queue, number];
    update(draft, { ...subscription, queue });
    if (draft.subscriptions.get(keyOf(subscription))?.offered === number) continue;
    draft.instructions.push({ type: "newest", rank: subscription.rank, id: subscription.id, number });
  }
}

/** Stores a subscription, and offers it what waits first when it is not busy taking. */
function update(draft: Draft, subscription: LeaseSubscription): void {
  const [first, ...queue] = subscription.queue;
  const publication = first === undefined ? undefined : draft.publications.get(first);
  if (subscription.offered !== null || first === undefined || publication === undefined) {
    draft.subscriptions.set(keyOf(subscription), subscription);
    return;
  }
  draft.subscriptions.set(keyOf(subscription), { ...subscription, offered: first, queue });
  draft.instructions.push({ type: "offer", rank: subscription.rank, id: subscription.id, publication });
}

function forget(draft: Draft, number: number): void {
  draft.publications.delete(number);
  for (const [key, subscription] of draft.subscriptions) {
    draft.subscriptions.set(key, { ...subscription, queue: subscription.queue.filter((each) => each !== number) });
  }
}

function freeUnused(draft: Draft): void {
  const used = new Set<number | null>([draft.newest]);
  for (const { held, beside, offered, queue } of draft.subscriptions.values()) {
    for (const number of [held, ...beside, offered, ...queue]) used.add(number);
  }
  for (const [number, { rank, offer }] of draft.publications) {
    if (used.has(number)) continue;
    draft.publications.delete(number);
    draft.instructions.push({ type: "free", rank, offer });
  }
}

function keyOf({ rank, id }: { readonly rank: number; readonly id: number }): string {
  return `${rank}/${id}`;
}
