/**
 * Who may look at which published weights. A publisher never waits for subscribers, so several versions can be in use at once: each is held by
 * leases until the last subscriber has let go, and only then may its memory be written again. Immutable.
 *
 * A subscription holds leases of the version its replicas use, of those beside it that they still use parts of (a version may name only some tensors),
 * and of the one it was offered and is taking. What comes meanwhile
 * waits in its queue: one version for `latest` (a newer one replaces it), all of them for `every`.
 */

/** Which versions a subscriber wants. */
export type SubscriptionPolicy = "latest" | "every";

/** A version of the weights; its number counts up over all publishers. */
export interface LeasedPublication {
  readonly number: number;
  /** The rank whose memory holds it. */
  readonly rank: number;
  /** The publisher's own name for it. */
  readonly offer: number;
  /** The user's opaque label. */
  readonly version: string;
}

/** What one subscriber uses, takes and waits for, by number. */
export interface LeaseSubscription {
  readonly rank: number;
  /** Unique within its rank. */
  readonly id: number;
  readonly policy: SubscriptionPolicy;
  readonly held: number | null;
  /** Earlier versions that its replicas use parts of. */
  readonly beside: readonly number[];
  readonly offered: number | null;
  readonly queue: readonly number[];
}

/** Everything the machine knows. */
export interface LeaseState {
  /** Number of the newest publication; 0 before the first. */
  readonly newest: number;
  /** Those that somebody uses, takes or waits for, and the newest, for subscribers that come later. */
  readonly publications: ReadonlyMap<number, LeasedPublication>;
  readonly subscriptions: ReadonlyMap<string, LeaseSubscription>;
}

/** Everything that can happen. */
export type LeaseEvent =
  | { readonly type: "publish"; readonly rank: number; readonly offer: number; readonly version: string }
  | { readonly type: "subscribe"; readonly rank: number; readonly id: number; readonly policy: SubscriptionPolicy }
  /** All replicas of the subscription use this version now; of those before they use parts of `beside`, and have let go of all others. */
  | { readonly type: "taken"; readonly rank: number; readonly id: number; readonly number: number; readonly beside: readonly number[] }
  | { readonly type: "unsubscribe"; readonly rank: number; readonly id: number }
  /** A rank's process has ended, with whatever it published or held. */
  | { readonly type: "gone"; readonly rank: number };

/** Everything the machine can ask for. */
export type LeaseInstruction =
  /** Give this version to the subscriber; it is leased from now on. */
  | { readonly type: "offer"; readonly rank: number; readonly id: number; readonly publication: LeasedPublication }
  /** Tell the subscriber how far ahead the publisher is. */
  | { readonly type: "newest"; readonly rank: number; readonly id: number; readonly number: number }
  /** Nobody looks at this version any more: its publisher may write over it. */
  | { readonly type: "free"; readonly rank: number; readonly offer: number };

/** Before anything was published. */
export function createLeaseState(): LeaseState {
  return { newest: 0, publications: new Map(), subscriptions: new Map() };
}
