/** What can happen to a rendezvous of nodes: plain data, one time per event. */
import type { ErrorRecord } from "../errors/error-record.ts";

/** What a node says of itself when it joins. */
export interface NodeAnnouncement {
  /** Unique per launcher process: a node that is started again is another node. */
  readonly nodeId: string;
  readonly jobId: string;
  /** Version of the wire contract. */
  readonly protocol: number;
  /** How many nodes it was told the job has; null when its launcher does not tell. */
  readonly nodeCount: number | null;
  /** How many ranks it was told the job has; absent when that follows from the nodes. */
  readonly worldSize?: number;
  /** Null when it wants to be given one. */
  readonly nodeRank: number | null;
  readonly host: string;
  readonly pid: number;
  /** Where other nodes reach its coordinator. */
  readonly address: string;
  readonly localWorldSize: number;
  /** Its ranks, when a launcher below (Slurm, mpirun) has given them out already; null for ranks in node order. */
  readonly ranks: readonly number[] | null;
}

/** How a node's part of an epoch ended. */
export type NodeOutcome = { readonly type: "succeeded" } | { readonly type: "failed"; readonly error: ErrorRecord };

/** Everything that can happen. `nowMs` comes from one monotonic clock and never decreases. */
export type RendezvousEvent =
  /** The head node can take part itself: from now on, and not while it starts, the others are waited for. */
  | { readonly type: "ready"; readonly nowMs: number }
  /**
   * A node wants to take part: for the first time (`epoch` null), or in the epoch it was told to restart for, once its ranks have ended.
   * Repeating it changes nothing.
   */
  | { readonly type: "join"; readonly nowMs: number; readonly node: NodeAnnouncement; readonly epoch: number | null }
  /** A sign of life. */
  | { readonly type: "heard"; readonly nowMs: number; readonly nodeId: string }
  /** Its ranks have ended, well or not. */
  | { readonly type: "report"; readonly nowMs: number; readonly nodeId: string; readonly epoch: number; readonly outcome: NodeOutcome }
  /** Its connection is gone. */
  | { readonly type: "loss"; readonly nowMs: number; readonly nodeId: string; readonly reason: string }
  /** A signal or the caller ends the job, on this node or (`nodeId`) on another. */
  | { readonly type: "abort"; readonly nowMs: number; readonly nodeId: string | null; readonly error: ErrorRecord }
  /** The time asked for has come, or any other. */
  | { readonly type: "timer"; readonly nowMs: number };
