/** What the rounds of a job need from its other nodes. On one node there are none. */
import type { BroadcastReport, DType } from "@rankcast/core";
import type { PlacedSegments, ReadStats, SegmentReuse } from "@rankcast/core/runtime";
import type { CompleteSegments, StripedWeights } from "../fetch/fetch-weights.ts";

/** How an update is told as the difference from another one. Plain data; goes to the receivers. */
export interface DeltaTerms {
  /** The round that brought the weights it starts from. */
  readonly base: number;
  /** Sizes of the new weights' segments. */
  readonly segmentBytes: readonly number[];
}

/** Of an update whose segments are kept: what is the same on every node. Each has sets of its own. */
export type DescribedReuse = Pick<SegmentReuse, "layout" | "known">;

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
  readonly reuse?: DescribedReuse;
  /** The type that this node casts to for its ranks; others do the same for theirs. */
  readonly castTo?: DType;
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
  /** A node could not use the difference that it got: offers it the bytes themselves. False when the round is not one of differences. */
  again(sequence: number, nodeRank: number): boolean;
  /** What travelled to each other node in this round; null when nothing did. */
  travelled(sequence: number): BroadcastReport | null;
  /** Every rank has attached: nodes give their handles back. */
  release(sequence: number): void;
  /** The round is over. `passed`: every rank is on its generation. */
  end(sequence: number, passed: boolean): void;
}

const NOBODY = (): Promise<never> => Promise.reject(new Error("a job of one node has no other nodes"));

/** One node. */
export const NO_OTHER_NODES: OtherNodes = {
  count: 0,
  offer: () => undefined,
  pass: NOBODY,
  stripe: NOBODY,
  again: () => false,
  travelled: () => null,
  release: () => undefined,
  end: () => undefined,
};

/** The description of weights that are placed here. */
export function describeWeights(manifest: Uint8Array, { segments, flat, shared, version, reuse, casts }: PlacedSegments): DescribedWeights {
  return {
    ...{ manifest, flat, shared, segmentBytes: segments.map(({ nbytes }) => nbytes) },
    ...(reuse ? { reuse: { layout: reuse.layout, known: reuse.known } } : {}),
    ...(version === undefined ? {} : { version }),
    ...(casts ? { castTo: casts.dtype } : {}),
  };
}

/** The same weights, told as a difference. */
export function describeDelta(weights: DescribedWeights, base: number, deltaBytes: number): DescribedWeights {
  return { ...weights, segmentBytes: [deltaBytes], delta: { base, segmentBytes: weights.segmentBytes } };
}

/** The same weights, whole. */
export function describeWhole({ delta, ...weights }: DescribedWeights): DescribedWeights {
  return delta ? { ...weights, segmentBytes: delta.segmentBytes } : weights;
}
