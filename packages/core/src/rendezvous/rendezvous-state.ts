/**
 * What the head coordinator knows of the job's nodes. Immutable.
 *
 * ```
 *                 every node joined                  every node succeeded
 *   gathering ─────────────────────────► running ─────────────────────────► ended: success
 *      │  ▲                                 │
 *      │  │ restarts left: epoch + 1        │ a node failed or was lost
 *      │  └─────────────────────────────────┤
 *      │ join timeout, abort                │ no restarts left, abort
 *      └────────────────────────────────────┴──────────────────────────────► ended: failure
 * ```
 *
 * An epoch is one membership: the same nodes with the same node ranks from its start to its end.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import type { ErrorRecord } from "../errors/error-record.ts";
import type { Topology } from "../topology/topology.ts";
import type { NodeAnnouncement } from "./rendezvous-event.ts";

/** Nodes of one job. */
export const NODE_COUNT_MAX = 65_536;
/** Failures listed behind the first. */
export const LATER_FAILURES_MAX = 8;

/** What the head coordinator was told. */
export interface RendezvousOptions {
  readonly jobId: string;
  readonly protocol: number;
  /** Null: not known (mpirun does not tell); the job is whole when its nodes have `worldSize` ranks. */
  readonly nodeCount: number | null;
  /** Null: what the nodes bring. */
  readonly worldSize?: number | null;
  readonly maxRestarts: number;
  /** Of the first membership; later ones count up. */
  readonly firstEpoch: number;
  /** How long nodes may take to come together, from the start of the epoch. */
  readonly joinTimeoutMs: number;
  /** How long a node may be silent. */
  readonly silenceMs: number;
}

/** A node of a membership. */
export interface MemberNode {
  readonly nodeId: string;
  readonly nodeRank: number;
  readonly host: string;
  readonly pid: number;
  readonly address: string;
  /** Ascending. */
  readonly ranks: readonly number[];
}

/** Who takes part in an epoch; the same on every node. */
export interface Membership {
  readonly jobId: string;
  readonly epoch: number;
  /** By node rank. */
  readonly nodes: readonly MemberNode[];
  readonly topology: Topology;
  readonly topologyDigest: string;
}

/** Why an epoch, or the job, failed. */
export type NodeFailure =
  /** Nodes that did not come together in time. */
  | {
      readonly kind: "timeout";
      readonly joinTimeoutMs: number;
      readonly missing: readonly MissingNode[];
      /** Ranks whose nodes did not come, where the number of nodes is not known. */
      readonly missingRanks?: readonly number[];
      readonly joined: readonly NodePlace[];
    }
  | { readonly kind: "failed"; readonly node: NodePlace; readonly error: ErrorRecord }
  | { readonly kind: "loss"; readonly node: NodePlace; readonly reason: string }
  /** The ranks that nodes announced do not make a whole. */
  | { readonly kind: "topology"; readonly error: ErrorRecord }
  | { readonly kind: "abort"; readonly node: NodePlace | null; readonly error: ErrorRecord };

/** A node as it is named in a failure. */
export interface NodePlace {
  readonly nodeRank: number | null;
  readonly host: string;
  readonly pid: number;
}

/** A node that is not there: its rank when that follows, its place when it was there in the epoch before. */
export interface MissingNode {
  readonly nodeRank: number | null;
  readonly last: NodePlace | null;
}

/** A node that is connected. */
export interface PresentNode {
  readonly node: NodeAnnouncement;
  readonly heardMs: number;
  /** Taking part in the epoch that is gathering or running. */
  readonly joined: boolean;
  readonly succeeded: boolean;
}

/** How the job ended. */
export type JobOutcome =
  | { readonly type: "success" }
  /** The first failure of the last epoch, what followed it there, and how many epochs had failed before. */
  | { readonly type: "failure"; readonly cause: NodeFailure; readonly later: readonly NodeFailure[]; readonly restarts: number };

/** The whole machine. */
export interface RendezvousState {
  readonly options: RendezvousOptions;
  readonly phase: "gathering" | "running" | "ended";
  readonly epoch: number;
  /** When the epoch started to gather; infinite before `ready`. */
  readonly gatheringSinceMs: number;
  /** In the order they joined. */
  readonly present: ReadonlyMap<string, PresentNode>;
  /** Of the running epoch, else of the one before. */
  readonly membership: Membership | null;
  readonly outcome: JobOutcome | null;
  readonly timerDueMs: number | null;
}

/**
 * A job whose first node has not come yet; the join timeout runs from `nowMs`, or from the event `ready` when that is infinite.
 * @throws {UsageError} RANKCAST_USAGE when a count or time is out of range.
 */
export function createRendezvousState(options: RendezvousOptions, nowMs: number): RendezvousState {
  const { nodeCount, maxRestarts, joinTimeoutMs, silenceMs, firstEpoch } = options;
  const { worldSize = null } = options;
  const counts = [
    ...(nodeCount === null ? [] : [["nodeCount", nodeCount, 1, NODE_COUNT_MAX] as const]),
    ...(nodeCount === null || worldSize !== null ? [["worldSize", worldSize ?? 0, 1, NODE_COUNT_MAX * 4096] as const] : []),
    ["maxRestarts", maxRestarts, 0, Number.MAX_SAFE_INTEGER],
    ["firstEpoch", firstEpoch, 0, Number.MAX_SAFE_INTEGER - 2 ** 32],
  ] as const;
  for (const [option, value, least, most] of counts) {
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new UsageError("RANKCAST_USAGE", `${option} must be a whole number from ${least} to ${most}, not ${value}`, {
        details: { option },
      });
    }
  }
  if (!(joinTimeoutMs > 0) || !(silenceMs > 0)) {
    throw new UsageError("RANKCAST_USAGE", `joinTimeoutMs and silenceMs must be above 0, not ${joinTimeoutMs} and ${silenceMs}`, {
      details: { joinTimeoutMs, silenceMs },
    });
  }
  return {
    options,
    phase: "gathering",
    epoch: firstEpoch,
    gatheringSinceMs: nowMs,
    present: new Map(),
    membership: null,
    outcome: null,
    timerDueMs: null,
  };
}
