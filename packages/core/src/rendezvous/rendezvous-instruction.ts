/** What the machine asks the head coordinator to do. */
import type { JobOutcome, Membership, NodeFailure, NodePlace } from "./rendezvous-state.ts";

/** Why a node may not take part. */
export type NodeRefusal =
  /** Another job listens here. */
  | { readonly kind: "wrong-job"; readonly expected: string; readonly found: string }
  | { readonly kind: "wrong-protocol"; readonly expected: number; readonly found: number }
  | { readonly kind: "wrong-node-count"; readonly expected: number; readonly found: number }
  | { readonly kind: "wrong-world-size"; readonly expected: number; readonly found: number }
  | { readonly kind: "node-rank"; readonly nodeRank: number; readonly nodeCount: number }
  /** Two nodes were given the same node rank. */
  | { readonly kind: "duplicate"; readonly nodeRank: number; readonly holder: NodePlace }
  /** All places are taken. */
  | { readonly kind: "full"; readonly nodeCount: number | null }
  | { readonly kind: "malformed"; readonly field: string }
  | { readonly kind: "ended"; readonly outcome: JobOutcome };

/** Everything the machine can ask for. */
export type RendezvousInstruction =
  /** Tell a node that it is in and waits for others. */
  | { readonly type: "wait"; readonly nodeId: string; readonly epoch: number; readonly joined: number; readonly nodeCount: number | null }
  | { readonly type: "refuse"; readonly nodeId: string; readonly refusal: NodeRefusal }
  /** Tell these nodes who takes part; each starts its ranks. */
  | { readonly type: "start"; readonly nodeIds: readonly string[]; readonly membership: Membership }
  /** Tell these nodes to stop their ranks; they join again for `epoch`. */
  | { readonly type: "restart"; readonly nodeIds: readonly string[]; readonly epoch: number; readonly cause: NodeFailure }
  /** Tell these nodes that the job is over; after a failure they stop their ranks. */
  | { readonly type: "end"; readonly nodeIds: readonly string[]; readonly outcome: JobOutcome }
  /** Close the connection of a node that was given up. */
  | { readonly type: "drop"; readonly nodeId: string }
  | { readonly type: "setTimer"; readonly dueMs: number }
  | { readonly type: "clearTimer" };
