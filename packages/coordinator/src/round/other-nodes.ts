/** What the rounds of a job need from its other nodes. On one node there are none. */
import type { PlacedSegments, ReadStats } from "@rankcast/core/runtime";

/** Weights as they are described to another node: what the bytes mean and where they lie, but not where to attach them. */
export interface DescribedWeights {
  /** Encoded manifest. */
  readonly manifest: Uint8Array;
  readonly flat: readonly number[];
  readonly shared: readonly number[];
  readonly segmentBytes: readonly number[];
}

/** What a node says once it has a round's weights. Plain data. */
export interface NodeFacts {
  /** Equal where the bytes are equal; null when they came from the head node itself. */
  readonly digest: string | null;
  readonly origin: ReadStats;
  readonly sharedBytes: number;
}

/** Weights that came from another node. */
export interface ReceivedWeights {
  readonly placed: PlacedSegments;
  release(): void;
}

/** See the module comment. */
export interface OtherNodes {
  readonly count: number;
  /** Offers what this node has to all others; failures come back as `nodeFailed`. */
  offer(sequence: number, manifest: Uint8Array, placed: PlacedSegments): void;
  /** Offers what node `owner` has to all others, this one included. @throws {CheckpointError} when it does not get here. */
  pass(sequence: number, owner: number, weights: DescribedWeights, signal: AbortSignal): Promise<ReceivedWeights>;
  /** Every rank has attached: nodes give their handles back. */
  release(sequence: number): void;
  /** The round is over, well or not. */
  end(sequence: number): void;
}

/** One node. */
export const NO_OTHER_NODES: OtherNodes = {
  count: 0,
  offer: () => undefined,
  pass: () => Promise.reject(new Error("a job of one node has no other nodes")),
  release: () => undefined,
  end: () => undefined,
};

/** The description of weights that are placed here. */
export function describeWeights(manifest: Uint8Array, { segments, flat, shared }: PlacedSegments): DescribedWeights {
  return { manifest, flat, shared, segmentBytes: segments.map(({ nbytes }) => nbytes) };
}
