/** The messages of the wire contract as plain discriminated unions; the only types other packages see. */

/** An error as data: `record` is the JSON value of the whole chain, the rest is for people who read traces. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly record: unknown;
}

/** Who a rank is. `incarnation` is random per process: a restarted rank is another member. */
export interface Hello {
  readonly type: "hello";
  readonly protocol: number;
  readonly jobId: string;
  readonly epoch: number;
  readonly rank: number;
  readonly localRank: number;
  readonly nodeRank: number;
  readonly worldSize: number;
  readonly localWorldSize: number;
  readonly incarnation: string;
  readonly pid: number;
  readonly host: string;
  /** The secret of the socket: on the way to the coordinator only. */
  readonly token?: string;
  /** The rank can take a lane. */
  readonly takesLane?: boolean;
  /** The rank understands `Arriving`. */
  readonly takesArriving?: boolean;
}

/** A rank stands at a barrier with its outcome so far. */
export interface Arrive {
  readonly type: "arrive";
  readonly barrier: string;
  readonly generation: number;
  readonly digest: string;
  readonly failure?: WireError;
  /** JSON value; meaning given by the barrier. */
  readonly payload?: unknown;
  /** How long a missing rank may show no progress; the coordinator's default when left out. */
  readonly timeoutMs?: number;
}

/** The rank wants these weights. `options` decide what is fetched. */
export interface LoadRequest {
  readonly type: "load";
  readonly sequence: number;
  readonly weights: string;
  readonly options: unknown;
  readonly digest: string;
}

/** A rank offers weights from its memory. */
export interface Publication {
  readonly type: "publication";
  readonly sequence: number;
  readonly manifest: Uint8Array;
  readonly placement: unknown;
}

/** What the rank is doing now; for progress and for blame. */
export interface RankProgress {
  readonly type: "progress";
  readonly phase: string;
}

/** The rank cannot go on. */
export interface Abort {
  readonly type: "abort";
  readonly cause: WireError;
}

/** Orderly goodbye. */
export interface Leave {
  readonly type: "leave";
}

/** Weights published without waiting for anybody. */
export interface Offer {
  readonly type: "offer";
  /** The publisher's own name for this version. */
  readonly offer: number;
  /** The user's opaque label. */
  readonly version: string;
  readonly manifest: Uint8Array;
  readonly placement: unknown;
}

/** A rank wants published weights from now on. */
export interface Subscribe {
  readonly type: "subscribe";
  readonly subscription: number;
  readonly policy: string;
}

/** All replicas of a subscription use this version now; beside it, where it names only some tensors, earlier ones. */
export interface Taken {
  readonly type: "taken";
  readonly subscription: number;
  readonly number: number;
  readonly beside: readonly number[];
}

/** A rank wants no more. */
export interface Unsubscribe {
  readonly type: "unsubscribe";
  readonly subscription: number;
}

/** Everything a rank says. */
export type RankMessage =
  | Hello
  | Arrive
  | LoadRequest
  | Publication
  | RankProgress
  | Abort
  | Leave
  | Offer
  | Subscribe
  | Taken
  | Unsubscribe;

/** First answer on a stream. */
export interface Welcome {
  readonly type: "welcome";
  readonly protocol: number;
  readonly jobId: string;
  readonly epoch: number;
  /** Where the rank is: some launchers do not tell. */
  readonly nodeRank: number;
  readonly nodeCount: number;
  /** The coordinator's process, in the form of `Hello.incarnation`. Absent or empty: not told. */
  readonly incarnation?: string;
  /** What opens the rank's lane, once; a secret, as the token. Absent or empty: there is none. */
  readonly laneTicket?: Uint8Array;
  /** How long ranks may keep each other waiting at a barrier without a sign of progress. Absent or 0: not told. */
  readonly barrierTimeoutMs?: number;
}

/** The last message of the coordinator on the stream: what follows is on the lane. */
export interface LaneOpen {
  readonly type: "laneOpen";
}

/** The outcome of a barrier generation, the same for everyone. */
export interface Decision {
  readonly type: "decision";
  readonly barrier: string;
  readonly generation: number;
  readonly passed: boolean;
  readonly cause?: WireError;
  readonly payload?: unknown;
}

/** Manifest and segments are ready to attach. */
export interface Published {
  readonly type: "published";
  readonly sequence: number;
  readonly manifest: Uint8Array;
  readonly placement: unknown;
}

/** Weights of a round that are still being downloaded. */
export interface Arriving {
  readonly type: "arriving";
  readonly sequence: number;
  /** Empty when it was said before. */
  readonly manifest: Uint8Array;
  /** JSON value: where storages lie, or which of them are here. */
  readonly placement: unknown;
}

/** Nothing can succeed any more in this epoch. */
export interface Aborted {
  readonly type: "aborted";
  readonly cause: WireError;
}

/** A version to take. */
export interface Offered {
  readonly type: "offered";
  readonly subscription: number;
  readonly number: number;
  readonly version: string;
  readonly manifest: Uint8Array;
  readonly placement: unknown;
  /** How long ago it was published. */
  readonly ageMs: number;
}

/** How far ahead the publisher is. */
export interface Newest {
  readonly type: "newest";
  readonly subscription: number;
  readonly number: number;
}

/** The publisher may write over this version. */
export interface Freed {
  readonly type: "freed";
  readonly offer: number;
}

/** The next version could not be brought to the rank's node: the subscription gets nothing more. */
export interface SubscriptionEnded {
  readonly type: "subscriptionEnded";
  readonly subscription: number;
  readonly cause: WireError;
}

/** Everything a coordinator says. */
export type CoordinatorMessage =
  | Welcome
  | LaneOpen
  | Decision
  | Arriving
  | Published
  | Aborted
  | Offered
  | Newest
  | Freed
  | SubscriptionEnded;

/** Raised when both sides speak different versions of this contract. */
export const PROTOCOL_VERSION = 2;
