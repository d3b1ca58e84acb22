/** Bringing a round's weights from another node. */
import type { DeltaTerms, Generations } from "../broadcast/generations.ts";
import type { BroadcastOffer, NodeBroadcast, ReceivedSegments, StripeReader } from "../broadcast/node-broadcast.ts";
import type { FetchListener } from "../fetch/fetch-weights.ts";
import type { ReceivedWeights } from "../round/other-nodes.ts";

/** Where a round's weights come from and what they mean. */
export interface IncomingWeights {
  readonly sequence: number;
  readonly manifest: Uint8Array;
  readonly flat: readonly number[];
  readonly shared: readonly number[];
  readonly delta?: DeltaTerms;
  readonly version?: string;
  /** Reads this node's part from the origin, where every node has one. */
  readonly own?: StripeReader;
  /** Whether later rounds may start from it. */
  readonly isUpdate: boolean;
}

/** What receiving works with. */
export interface ReceivingParts {
  readonly broadcast: NodeBroadcast;
  readonly generations: Generations;
  readonly listener: FetchListener;
}

/** The bytes in memory of this node, whole and verified. @throws {CheckpointError} when they do not come. */
export async function receiveWeights(
  { broadcast, generations, listener }: ReceivingParts,
  offer: BroadcastOffer,
  { sequence, manifest, flat, shared, delta, version, own, isUpdate }: IncomingWeights,
  signal: AbortSignal,
): Promise<ReceivedWeights> {
  const total = offer.segmentBytes.reduce((sum, bytes) => sum + bytes, 0);
  // A state dict of meta tensors has nothing to bring.
  const where = { flat, shared, ...(version === undefined ? {} : { version }) };
  if (total === 0) return { placed: { segments: [], ...where }, release: () => undefined };
  listener.onPhase("receiving");
  const received = await broadcast.receive(offer, { signal, onProgress: (bytes) => listener.onBytes(bytes, total), own });
  const weights = delta ? await rebuild(generations, delta, received) : received;
  if (isUpdate) generations.hold(sequence, manifest, weights.descriptors);
  const { roundTripMs } = received;
  const release = (): void => weights.release();
  return { placed: { segments: weights.descriptors, ...where }, ...(roundTripMs === null ? {} : { roundTripMs }), release };
}

async function rebuild(
  generations: Generations,
  delta: DeltaTerms,
  received: ReceivedSegments,
): Promise<Omit<ReceivedSegments, "roundTripMs">> {
  try {
    const segments = await generations.apply(delta, received.descriptors);
    return {
      descriptors: segments.map((segment) => segment.publish()),
      release: () => {
        for (const segment of segments) segment.release();
      },
    };
  } finally {
    received.release();
  }
}
