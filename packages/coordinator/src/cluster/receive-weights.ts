/** Bringing a round's weights from another node. */
import type { PlacedSegments } from "@rankcast/core/runtime";
import type { BroadcastOffer, NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { FetchListener } from "../fetch/fetch-weights.ts";
import type { ReceivedWeights } from "../round/other-nodes.ts";

/** The bytes in memory of this node, whole and verified. @throws {CheckpointError} when they do not come. */
export async function receiveWeights(
  broadcast: NodeBroadcast,
  offer: BroadcastOffer,
  where: Pick<PlacedSegments, "flat" | "shared">,
  signal: AbortSignal,
  listener: FetchListener,
): Promise<ReceivedWeights> {
  const total = offer.segmentBytes.reduce((sum, bytes) => sum + bytes, 0);
  // A state dict of meta tensors has nothing to bring.
  if (total === 0) return { placed: { segments: [], ...where }, release: () => undefined };
  listener.onPhase("receiving");
  const { descriptors, release } = await broadcast.receive(offer, { signal, onProgress: (bytes) => listener.onBytes(bytes, total) });
  return { placed: { segments: descriptors, ...where }, release };
}
