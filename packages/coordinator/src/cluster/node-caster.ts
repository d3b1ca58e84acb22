/** The head's hand on the weights of other nodes: says what is offered and where, and takes part in the broadcast itself. */
import type { Membership, PlacedSegments } from "@rankcast/core/runtime";
import { type BroadcastOffer, chooseChunkBytes, type NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { FetchListener } from "../fetch/fetch-weights.ts";
import type { HeadMessage } from "../grpc/cluster-server.ts";
import { type DescribedWeights, describeWeights, type OtherNodes, type ReceivedWeights } from "../round/other-nodes.ts";
import { receiveWeights } from "./receive-weights.ts";

/** What a caster works with. */
export interface CasterParts {
  readonly membership: Membership;
  readonly nodeRank: number;
  readonly broadcast: NodeBroadcast;
  readonly listener: FetchListener;
  /** To one other node. */
  send(nodeId: string, message: HeadMessage): void;
}

/** See the module comment. */
export class NodeCaster implements OtherNodes {
  readonly count: number;
  readonly #parts: CasterParts;
  readonly #serving = new Map<number, AbortController>();

  constructor(parts: CasterParts) {
    this.#parts = parts;
    this.count = parts.membership.nodes.length - 1;
  }

  offer(sequence: number, manifest: Uint8Array, placed: PlacedSegments): void {
    const { nodeRank, broadcast } = this.#parts;
    const offer = this.#announce(sequence, nodeRank, describeWeights(manifest, placed));
    const serving = new AbortController();
    this.#serving.set(sequence, serving);
    // A receiver that does not get everything says so itself.
    if (placed.segments.length > 0) broadcast.offer(offer, placed.segments, { signal: serving.signal }).catch(() => undefined);
  }

  pass(sequence: number, owner: number, weights: DescribedWeights, signal: AbortSignal): Promise<ReceivedWeights> {
    const { broadcast, listener } = this.#parts;
    return receiveWeights(broadcast, this.#announce(sequence, owner, weights), weights, signal, listener);
  }

  release(sequence: number): void {
    this.#tellAll({ type: "release", sequence });
  }

  end(sequence: number): void {
    const { membership, broadcast } = this.#parts;
    this.#serving.get(sequence)?.abort();
    this.#serving.delete(sequence);
    broadcast.end(broadcastId(membership, sequence));
    this.#tellAll({ type: "over", sequence });
  }

  #announce(sequence: number, owner: number, { manifest, flat, shared, segmentBytes }: DescribedWeights): BroadcastOffer {
    const { membership } = this.#parts;
    const offer: BroadcastOffer = {
      id: broadcastId(membership, sequence),
      segmentBytes,
      chunkBytes: chooseChunkBytes(
        segmentBytes.reduce((sum, bytes) => sum + bytes, 0),
        membership.nodes.length,
      ),
      owners: [owner],
      nodes: membership.nodes.map(({ nodeRank, address }) => ({ nodeRank, address })),
    };
    this.#tellAll({ type: "offer", sequence, offer, manifest, placement: { flat, shared } });
    return offer;
  }

  #tellAll(message: HeadMessage): void {
    const { membership, nodeRank, send } = this.#parts;
    for (const node of membership.nodes) if (node.nodeRank !== nodeRank) send(node.nodeId, message);
  }
}

/** Unique among the broadcasts of jobs that could meet; epochs are larger than the 32 bits of a chunk's header. */
function broadcastId({ jobId, epoch }: Membership, sequence: number): BroadcastOffer["id"] {
  return { jobId, epoch: epoch % 2 ** 32, sequence };
}
