/** Bringing a round's weights from another node. */
import type { DType } from "@rankcast/core";
import type { BroadcastOffer, NodeBroadcast, StripeReader } from "../broadcast/node-broadcast.ts";
import type { FetchListener } from "../fetch/fetch-weights.ts";
import type { DeltaTerms, DescribedReuse, ReceivedWeights } from "../round/other-nodes.ts";
import type { RoundLineage } from "./round-lineage.ts";

/** Where a round's weights come from and what they mean. */
export interface IncomingWeights {
  readonly sequence: number;
  readonly flat: readonly number[];
  readonly shared: readonly number[];
  readonly delta?: DeltaTerms;
  readonly reuse?: DescribedReuse;
  readonly version?: string;
  /** The type that the head casts to. */
  readonly castTo?: DType;
  /** Reads this node's part from the origin, where every node has one. */
  readonly own?: StripeReader;
}

/** What receiving works with. */
export interface ReceivingParts {
  readonly broadcast: NodeBroadcast;
  readonly lineage: RoundLineage;
  readonly listener: FetchListener;
}

/** The bytes in memory of this node, whole and verified. @throws {CheckpointError} when they do not come. */
export async function receiveWeights(
  { broadcast, lineage, listener }: ReceivingParts,
  offer: BroadcastOffer,
  { sequence, flat, shared, delta, reuse, version, own }: IncomingWeights,
  signal: AbortSignal,
): Promise<ReceivedWeights> {
  const total = offer.segmentBytes.reduce((sum, bytes) => sum + bytes, 0);
  const where = { flat, shared, ...(version === undefined ? {} : { version }) };
  // A state dict of meta tensors has nothing to bring.
  if (total === 0) return { placed: { segments: [], ...where }, release: () => undefined };
  listener.onPhase("receiving");
  const kept = reuse && {
    place: lineage.placeOf(sequence, reuse.layout),
    segmentBytes: delta?.segmentBytes ?? offer.segmentBytes,
    base: delta?.base ?? null,
  };
  const received = await broadcast.receive(offer, { signal, onProgress: (bytes) => listener.onBytes(bytes, total), own, kept });
  const { descriptors, set, roundTripMs } = received;
  return {
    placed: { segments: descriptors, ...where, ...(reuse ? { reuse: { ...reuse, set } } : {}) },
    ...(roundTripMs === null ? {} : { roundTripMs }),
    release: () => received.release(),
  };
}
