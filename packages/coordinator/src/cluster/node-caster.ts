/** The head's hand on the weights of other nodes: says what is offered and where, and takes part in the broadcast itself. */
import type { BroadcastReport } from "@rankcast/core";
import type { Membership, PlacedSegments, SegmentDescriptor } from "@rankcast/core/runtime";
import type { Generations } from "../broadcast/generations.ts";
import type { BroadcastOffer, NodeBroadcast, StripeReader } from "../broadcast/node-broadcast.ts";
import type { CompleteSegments, FetchListener, StripedWeights } from "../fetch/fetch-weights.ts";
import type { HeadMessage } from "../grpc/cluster-server.ts";
import { type DescribedWeights, describeWeights, type OtherNodes, type ReceivedWeights } from "../round/other-nodes.ts";
import type { LinkPlanner } from "./link-planner.ts";
import { receiveWeights } from "./receive-weights.ts";

/** What a caster works with. */
export interface CasterParts {
  readonly membership: Membership;
  readonly nodeRank: number;
  readonly broadcast: NodeBroadcast;
  readonly generations: Generations;
  readonly links: LinkPlanner;
  readonly listener: FetchListener;
  /** To one other node. */
  send(nodeId: string, message: HeadMessage): void;
}

/** See the module comment. */
export class NodeCaster implements OtherNodes {
  readonly count: number;
  readonly #parts: CasterParts;
  readonly #serving = new Map<number, AbortController>();
  /** The last round that every node has passed. */
  #settled = -1;
  #travelled: { readonly sequence: number; readonly report: BroadcastReport } | null = null;

  constructor(parts: CasterParts) {
    this.#parts = parts;
    this.count = parts.membership.nodes.length - 1;
  }

  offer(sequence: number, manifest: Uint8Array, placed: PlacedSegments, kind: "load" | "update"): void {
    const { generations } = this.#parts;
    const serving = new AbortController();
    this.#serving.set(sequence, serving);
    const described = describeWeights(manifest, placed);
    if (kind === "load") {
      this.#serve(sequence, described, placed.segments, false, serving.signal);
      return;
    }
    generations.hold(sequence, manifest, placed.segments);
    const whole = (): void => this.#serve(sequence, described, placed.segments, true, serving.signal);
    generations.encode().then((delta) => {
      if (!delta) {
        whole();
        return;
      }
      serving.signal.addEventListener("abort", () => delta.release(), { once: true });
      const told = { ...described, segmentBytes: [delta.descriptor.nbytes], delta: delta.terms };
      this.#serve(sequence, told, [delta.descriptor], true, serving.signal);
    }, whole);
  }

  pass(sequence: number, owner: number, weights: DescribedWeights, signal: AbortSignal): Promise<ReceivedWeights> {
    return receiveWeights(this.#parts, this.#announce(sequence, [owner], weights, true), { ...weights, sequence, isUpdate: true }, signal);
  }

  async stripe(sequence: number, weights: StripedWeights, signal: AbortSignal): Promise<CompleteSegments> {
    const { manifestBytes: manifest, flat, shared, stripes } = weights;
    const told = { manifest, flat, shared, segmentBytes: stripes.segmentBytes };
    const everyone = this.#parts.membership.nodes.map(({ nodeRank }) => nodeRank);
    const offer = this.#announce(sequence, everyone, { ...told, stripes: stripes.digest }, false);
    const own: StripeReader = (segment, offset, into, stop) => stripes.read(segment, offset, into, stop);
    const { placed, release } = await receiveWeights(this.#parts, offer, { ...told, sequence, own, isUpdate: false }, signal);
    return { descriptors: placed.segments, release };
  }

  travelled(sequence: number): BroadcastReport | null {
    return this.#travelled?.sequence === sequence ? this.#travelled.report : null;
  }

  release(sequence: number): void {
    this.#parts.generations.settle(sequence);
    this.#settled = sequence;
    this.#tellAll({ type: "release", sequence });
  }

  end(sequence: number): void {
    const { membership, broadcast, generations } = this.#parts;
    if (this.#settled !== sequence) generations.forget();
    this.#serving.get(sequence)?.abort();
    this.#serving.delete(sequence);
    broadcast.end(broadcastId(membership, sequence));
    this.#tellAll({ type: "over", sequence });
  }

  #serve(
    sequence: number,
    weights: DescribedWeights,
    descriptors: readonly SegmentDescriptor[],
    isUpdate: boolean,
    signal: AbortSignal,
  ): void {
    if (signal.aborted) return;
    const offer = this.#announce(sequence, [this.#parts.nodeRank], weights, isUpdate);
    // A receiver that does not get everything says so itself.
    if (descriptors.length > 0) this.#parts.broadcast.offer(offer, descriptors, { signal }).catch(() => undefined);
  }

  #announce(sequence: number, owners: readonly number[], weights: DescribedWeights, isUpdate: boolean): BroadcastOffer {
    const { manifest, flat, shared, segmentBytes, stripes, delta, version } = weights;
    const { membership, links } = this.#parts;
    const bytes = segmentBytes.reduce((sum, each) => sum + each, 0);
    const offer: BroadcastOffer = { id: broadcastId(membership, sequence), owners, ...links.plan(segmentBytes, membership.nodes) };
    this.#travelled = { sequence, report: { bytes, encoding: delta ? "delta" : "full" } };
    this.#tellAll({
      type: "offer",
      sequence,
      offer,
      manifest,
      placement: {
        ...{ flat, shared, isUpdate },
        ...(stripes === undefined ? {} : { stripes }),
        ...(delta ? { delta } : {}),
        ...(version === undefined ? {} : { version }),
      },
    });
    return offer;
  }

  #tellAll(message: HeadMessage): void {
    const { membership, nodeRank, send } = this.#parts;
    for (const node of membership.nodes) if (node.nodeRank !== nodeRank) send(node.nodeId, message);
  }
}

/** Unique among the broadcasts of jobs that could meet; epochs are larger than the 32 bits of a chunk's header. */
export function broadcastId({ jobId, epoch }: Membership, sequence: number): BroadcastOffer["id"] {
  return { jobId, epoch: epoch % 2 ** 32, sequence };
}
