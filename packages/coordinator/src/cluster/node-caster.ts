/** The head's hand on the weights of other nodes: says what is offered and where, and takes part in the broadcast itself. */
import { type BroadcastReport, CheckpointError } from "@rankcast/core";
import type { Membership, PlacedSegments, SegmentDescriptor } from "@rankcast/core/runtime";
import type { BroadcastOffer, NodeBroadcast, OfferOptions, StripeReader } from "../broadcast/node-broadcast.ts";
import type { CompleteSegments, FetchListener, StripedWeights } from "../fetch/fetch-weights.ts";
import type { HeadMessage } from "../grpc/cluster-server.ts";
import {
  type DescribedWeights,
  describeDelta,
  describeWeights,
  describeWhole,
  type OtherNodes,
  type ReceivedWeights,
} from "../round/other-nodes.ts";
import type { LinkPlanner } from "./link-planner.ts";
import { receiveWeights } from "./receive-weights.ts";
import type { OwnUpdate, RoundLineage } from "./round-lineage.ts";

/** What a caster works with. */
export interface CasterParts {
  readonly membership: Membership;
  readonly nodeRank: number;
  readonly broadcast: NodeBroadcast;
  readonly links: LinkPlanner;
  readonly lineage: RoundLineage;
  readonly listener: FetchListener;
  /** To one other node. */
  send(nodeId: string, message: HeadMessage): void;
}

/** One round's weights on their way. */
interface Cast {
  readonly sequence: number;
  readonly owner: number;
  /** As they were told to all nodes. */
  weights: DescribedWeights;
  readonly serving: AbortController;
  readonly ids: BroadcastOffer["id"][];
  /** Where this node has them, if it is the owner. */
  descriptors: readonly SegmentDescriptor[];
  held: OfferOptions["held"];
}

/** Rounds count below this; what is offered a second time because a difference would not do counts from here. */
const FIRST_REPEAT = 2 ** 30;

/** See the module comment. */
export class NodeCaster implements OtherNodes {
  readonly count: number;
  readonly #parts: CasterParts;
  readonly #casts = new Map<number, Cast>();
  #repeats = -1;
  #travelled: { readonly sequence: number; readonly report: BroadcastReport } | null = null;

  constructor(parts: CasterParts) {
    this.#parts = parts;
    this.count = parts.membership.nodes.length - 1;
  }

  offer(sequence: number, manifest: Uint8Array, placed: PlacedSegments, kind: "load" | "update"): void {
    const cast = this.#begin(sequence, this.#parts.nodeRank, describeWeights(manifest, placed));
    cast.descriptors = placed.segments;
    const serve = ({ held, delta, base }: OwnUpdate): void => {
      cast.held = held;
      if (delta) cast.serving.signal.addEventListener("abort", () => delta.release(), { once: true });
      if (cast.serving.signal.aborted) delta?.release();
      else if (!delta || base === null) this.#serve(cast, cast.weights, this.#everyone());
      else {
        cast.weights = describeDelta(cast.weights, base, delta.descriptor.nbytes);
        this.#serve(cast, cast.weights, this.#everyone(), delta.descriptor);
      }
    };
    if (kind === "load") serve({ held: undefined, delta: null, base: null });
    else void this.#parts.lineage.own(sequence, placed).then(serve);
  }

  async pass(sequence: number, owner: number, weights: DescribedWeights, signal: AbortSignal): Promise<ReceivedWeights> {
    const cast = this.#begin(sequence, owner, weights);
    const receive = (told: DescribedWeights, nodes: readonly number[]): Promise<ReceivedWeights> =>
      receiveWeights(this.#parts, this.#announce(cast, told, [owner], nodes), { ...told, sequence }, signal);
    try {
      return await receive(weights, this.#everyone());
    } catch (error) {
      if (!weights.delta || !isDeltaRefusal(error)) throw error;
      return receive(describeWhole(weights), [owner, this.#parts.nodeRank]);
    }
  }

  again(sequence: number, nodeRank: number): boolean {
    const cast = this.#casts.get(sequence);
    if (!cast?.weights.delta) return false;
    const whole = describeWhole(cast.weights);
    const nodes = [cast.owner, nodeRank];
    if (cast.owner === this.#parts.nodeRank) this.#serve(cast, whole, nodes);
    else this.#announce(cast, whole, [cast.owner], nodes);
    return true;
  }

  async stripe(sequence: number, weights: StripedWeights, signal: AbortSignal): Promise<CompleteSegments> {
    const { manifestBytes: manifest, flat, shared, stripes } = weights;
    const told = { manifest, flat, shared, segmentBytes: stripes.segmentBytes };
    const cast = this.#begin(sequence, this.#parts.nodeRank, told);
    const offer = this.#announce(cast, { ...told, stripes: stripes.digest }, this.#everyone(), this.#everyone());
    const own: StripeReader = (segment, offset, into, stop) => stripes.read(segment, offset, into, stop);
    const { placed, release } = await receiveWeights(this.#parts, offer, { ...told, sequence, own }, signal);
    return { descriptors: placed.segments, release };
  }

  travelled(sequence: number): BroadcastReport | null {
    return this.#travelled?.sequence === sequence ? this.#travelled.report : null;
  }

  release(sequence: number): void {
    this.#tell(this.#everyone(), { type: "release", sequence });
  }

  end(sequence: number, passed: boolean): void {
    const { broadcast, lineage } = this.#parts;
    const cast = this.#casts.get(sequence);
    this.#casts.delete(sequence);
    cast?.serving.abort();
    for (const id of cast?.ids ?? []) broadcast.end(id);
    lineage.over(sequence, passed);
    this.#tell(this.#everyone(), { type: "over", sequence, passed });
  }

  #begin(sequence: number, owner: number, weights: DescribedWeights): Cast {
    const cast: Cast = { sequence, owner, weights, serving: new AbortController(), ids: [], descriptors: [], held: undefined };
    this.#casts.set(sequence, cast);
    return cast;
  }

  #serve(cast: Cast, weights: DescribedWeights, nodes: readonly number[], delta?: SegmentDescriptor): void {
    const offer = this.#announce(cast, weights, [this.#parts.nodeRank], nodes);
    const { signal } = cast.serving;
    const descriptors = delta ? [delta] : cast.descriptors;
    if (descriptors.length === 0) return;
    // A receiver that does not get everything says so itself.
    this.#parts.broadcast.offer(offer, descriptors, { signal, held: delta ? undefined : cast.held }).catch(() => undefined);
  }

  /** Tells nodes what there is and where. A round's second broadcast has a name of its own. */
  #announce(cast: Cast, weights: DescribedWeights, owners: readonly number[], nodes: readonly number[]): BroadcastOffer {
    const { manifest, segmentBytes, ...placement } = weights;
    const { sequence, ids } = cast;
    const { membership, links } = this.#parts;
    const bytes = segmentBytes.reduce((sum, each) => sum + each, 0);
    const isFirst = ids.length === 0;
    if (!isFirst) this.#repeats += 1;
    const id = broadcastId(membership, isFirst ? sequence : FIRST_REPEAT + (this.#repeats % FIRST_REPEAT));
    const members = membership.nodes.filter(({ nodeRank }) => nodes.includes(nodeRank));
    const offer: BroadcastOffer = { id, owners, ...links.plan(segmentBytes, members) };
    ids.push(offer.id);
    this.#travelled = { sequence, report: { bytes, encoding: placement.delta ? "delta" : "full" } };
    this.#tell(nodes, { type: "offer", sequence, offer, manifest, placement });
    return offer;
  }

  #everyone(): number[] {
    return this.#parts.membership.nodes.map(({ nodeRank }) => nodeRank);
  }

  #tell(nodes: readonly number[], message: HeadMessage): void {
    const { membership, nodeRank, send } = this.#parts;
    for (const node of membership.nodes) if (node.nodeRank !== nodeRank && nodes.includes(node.nodeRank)) send(node.nodeId, message);
  }
}

function isDeltaRefusal(error: unknown): boolean {
  return error instanceof CheckpointError && error.code === "RANKCAST_DELTA";
}

/** Unique among the broadcasts of jobs that could meet; epochs are larger than the 32 bits of a chunk's header. */
export function broadcastId({ jobId, epoch }: Membership, sequence: number): BroadcastOffer["id"] {
  return { jobId, epoch: epoch % 2 ** 32, sequence };
}
