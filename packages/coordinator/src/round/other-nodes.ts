/** What the rounds of a job need from its other nodes. On one node there are none. */
import type { BroadcastReport } from "@rankcast/core";
import type { PlacedSegments, ReadStats } from "@rankcast/core/runtime";
import type { DeltaTerms } from "../broadcast/generations.ts";
import type { CompleteSegments, StripedWeights } from "../fetch/fetch-weights.ts";

/** Weights as they are described to another node: what the bytes mean and where they lie, but not where to attach them. */
export interface DescribedWeights {
  /** Encoded manifest. */
  readonly manifest: Uint8Array;
  readonly flat: readonly number[];
  readonly shared: readonly number[];
  /** What travels: the segments, or the difference of `delta`. */
  readonly segmentBytes: readonly number[];
  /** Set when every node reads a part from the origin: what all must agree on (`StripePlan.digest`). */
  readonly stripes?: string;
  /** Set when the weights travel as the difference from those of an earlier round. */
  readonly delta?: DeltaTerms;
  /** The user's opaque label of an update. */
  readonly version?: string;
}

/** What a node says once it has a round's weights. Plain data. */
export interface NodeFacts {
  /** Equal where the bytes are equal; null when they came from the head node itself. */
  readonly digest: string | null;
  readonly origin: ReadStats;
  readonly sharedBytes: number;
  /** How fast its neighbour answered when it was dialled; absent where nothing was, or nobody can tell. */
  readonly roundTripMs?: number;
}

/** Weights that came from another node. */
export interface ReceivedWeights {
  readonly placed: PlacedSegments;
  /** See `NodeFacts`. */
  readonly roundTripMs?: number;
  release(): void;
}

/** See the module comment. */
export interface OtherNodes {
  readonly count: number;
  /** Offers what this node has to all others; failures come back as `nodeFailed`. An update may travel as a difference. */
  offer(sequence: number, manifest: Uint8Array, placed: PlacedSegments, kind: "load" | "update"): void;
  /** Offers what node `owner` has to all others, this one included. @throws {CheckpointError} when it does not get here. */
  pass(sequence: number, owner: number, weights: DescribedWeights, signal: AbortSignal): Promise<ReceivedWeights>;
  /** Every node reads a part from the origin and gets the rest from the others, this one included. @throws {CheckpointError} when that fails here. */
  stripe(sequence: number, weights: StripedWeights, signal: AbortSignal): Promise<CompleteSegments>;
  /** What travelled to each other node in this round; null when nothing did. */
  travelled(sequence: number): BroadcastReport | null;
  /** Every rank has attached: nodes give their handles back. */
  release(sequence: number): void;
  /** The round is over, well or not. */
  end(sequence: number): void;
}

const NOBODY = (): Promise<never> => Promise.reject(new Error("a job of one node has no other nodes"));

/** One node. */
export const NO_OTHER_NODES: OtherNodes = {
  count: 0,
  offer: () => undefined,
  pass: NOBODY,
  stripe: NOBODY,
  travelled: () => null,
  release: () => undefined,
  end: () => undefined,
};

/** The description of weights that are placed here. */
export function describeWeights(manifest: Uint8Array, { segments, flat, shared, version }: PlacedSegments): DescribedWeights {
  const described = { manifest, flat, shared, segmentBytes: segments.map(({ nbytes }) => nbytes) };
  return version === undefined ? described : { ...described, version };
}
