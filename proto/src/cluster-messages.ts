/** The messages between a job's nodes as plain discriminated unions; see cluster.proto. */
import type { CoordinatorMessage, RankMessage, WireError } from "./messages.ts";

/** A node wants to take part. */
export interface NodeJoin {
  readonly type: "join";
  readonly nodeId: string;
  readonly jobId: string;
  readonly protocol: number;
  /** Null: not known; then the job is whole when `worldSize` ranks are there. */
  readonly nodeCount: number | null;
  /** Null: to be given one. */
  readonly nodeRank: number | null;
  readonly host: string;
  readonly pid: number;
  readonly address: string;
  readonly localWorldSize: number;
  /** Null: ranks in node order. */
  readonly ranks: readonly number[] | null;
  /** Null: its first join. */
  readonly epoch: number | null;
  /** 0: what the nodes bring. */
  readonly worldSize: number;
}

/** The node's ranks have ended. */
export interface NodeReport {
  readonly type: "report";
  readonly epoch: number;
  readonly failure?: WireError;
}

/** Somebody ends the job from this node. */
export interface NodeAbort {
  readonly type: "abort";
  readonly cause: WireError;
}

/** A sign of life. */
export interface Heartbeat {
  readonly type: "heartbeat";
}

/** A message of one of the node's ranks. */
export interface RankSays {
  readonly type: "rank";
  readonly rank: number;
  readonly message: RankMessage;
  /** More ranks of the node that say the same. */
  readonly also?: readonly number[];
}

/** The stream of one of the node's ranks is over. */
export interface RankGone {
  readonly type: "gone";
  readonly rank: number;
  /** What has become of it, to be read behind its name. Default: it has ended. */
  readonly reason?: string;
}

/** The node has a round's weights, complete and verified. */
export interface WeightsReady {
  readonly type: "ready";
  readonly sequence: number;
  /** JSON value. */
  readonly facts: unknown;
}

/** The node could not get a round's weights. */
export interface WeightsFailed {
  readonly type: "failed";
  readonly sequence: number;
  readonly cause: WireError;
}

/** A rank of the node offers weights from its memory. */
export interface WeightsOwned {
  readonly type: "owned";
  readonly sequence: number;
  readonly rank: number;
  readonly manifest: Uint8Array;
  readonly placement: unknown;
}

/** A published version is in memory of the node, or could not be brought or served. */
export interface LiveBrought {
  readonly type: "liveBrought";
  readonly sequence: number;
  /** JSON value. */
  readonly segments: unknown;
  /** Names memory that the node keeps; empty when it does not. */
  readonly set: string;
  readonly cause?: WireError;
}

/** How a published version differs from an earlier one. */
export interface LiveEncoded {
  readonly type: "liveEncoded";
  readonly sequence: number;
  /** JSON value: a segment of the node; null when the version travels whole. */
  readonly segment: unknown;
}

/** Everything a node says to the head. */
export type NodeMessage =
  | NodeJoin
  | NodeReport
  | NodeAbort
  | Heartbeat
  | RankSays
  | RankGone
  | WeightsReady
  | WeightsFailed
  | WeightsOwned
  | LiveBrought
  | LiveEncoded;

/** It is in, and others are missing. */
export interface NodeWait {
  readonly type: "wait";
  readonly epoch: number;
  readonly joined: number;
  readonly nodeCount: number;
}

/** Who takes part. */
export interface NodeStart {
  readonly type: "start";
  /** JSON value of the membership. */
  readonly membership: unknown;
}

/** The epoch failed: stop the ranks, then join for the next one. */
export interface NodeRestart {
  readonly type: "restart";
  readonly epoch: number;
  readonly cause: WireError;
}

/** The job is over. */
export interface NodeEnd {
  readonly type: "end";
  /** Absent after success. */
  readonly cause?: WireError;
}

/** The node may not take part. */
export interface NodeRefused {
  readonly type: "refused";
  readonly cause: WireError;
}

/** A message for one of the node's ranks, or for all. */
export interface RankHears {
  readonly type: "rank";
  /** Null: all of the node's ranks. */
  readonly rank: number | null;
  readonly message: CoordinatorMessage;
}

/** A rank's stream is to be ended. */
export interface RankRefused {
  readonly type: "rankRefused";
  readonly rank: number;
  /** Empty: in order. */
  readonly kind: "protocol" | "duplicate" | "";
  readonly text: string;
}

/** The weights of a round and where their bytes are. */
export interface WeightsOffer {
  readonly type: "offer";
  readonly sequence: number;
  /** JSON value. */
  readonly offer: unknown;
  readonly manifest: Uint8Array;
  /** JSON value. */
  readonly placement: unknown;
}

/** Every rank has attached. */
export interface WeightsRelease {
  readonly type: "release";
  readonly sequence: number;
}

/** The round is over. */
export interface WeightsEnd {
  readonly type: "over";
  readonly sequence: number;
  /** Every rank is on the round's generation. */
  readonly passed: boolean;
}

/** Serve what a rank of this node has published. */
export interface LiveServe {
  readonly type: "liveServe";
  readonly sequence: number;
  /** JSON value. */
  readonly offer: unknown;
  /** JSON value: the segments that the rank named. */
  readonly segments: unknown;
}

/** Bring a published version into memory of this node. */
export interface LiveBring {
  readonly type: "liveBring";
  readonly sequence: number;
  /** JSON value. */
  readonly offer: unknown;
  /** JSON value: how the node keeps it; null: it does not. */
  readonly kept: unknown;
}

/** Tell how a version that a rank of this node has published differs from an earlier one. */
export interface LiveEncode {
  readonly type: "liveEncode";
  readonly sequence: number;
  /** JSON value. */
  readonly source: unknown;
}

/** Neither served nor looked at here any more. */
export interface LiveDrop {
  readonly type: "liveDrop";
  readonly sequence: number;
}

/** Everything the head says to a node. */
export type HeadMessage =
  | NodeWait
  | NodeStart
  | NodeRestart
  | NodeEnd
  | NodeRefused
  | Heartbeat
  | RankHears
  | RankRefused
  | WeightsOffer
  | WeightsRelease
  | WeightsEnd
  | LiveServe
  | LiveBring
  | LiveDrop
  | LiveEncode;
