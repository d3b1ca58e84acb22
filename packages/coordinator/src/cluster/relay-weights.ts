/** The weights of a job's rounds on a node that is not the head: received, fetched, or a rank's own; published to the node's ranks. */
import { compileLimits, DistributionError, type DType, type FetchOptions } from "@rankcast/core";
import {
  asCheckpointError,
  decodeManifest,
  newReadStats,
  type PlacedSegments,
  type SegmentDescriptor,
  toErrorRecord,
} from "@rankcast/core/runtime";
import type { BroadcastOffer, NodeBroadcast, OfferOptions } from "../broadcast/node-broadcast.ts";
import { type CastWish, castPlaced, type MadeCasts } from "../fetch/cast-weights.ts";
import type { FetchListener, FetchWeights } from "../fetch/fetch-weights.ts";
import type { NodeMessage, WeightsOffer } from "../grpc/cluster-server.ts";
import type { Arrive, CoordinatorMessage, LoadRequest, Publication } from "../grpc/coordination-server.ts";
import type { CoordinatorMemory } from "../round/coordinator-memory.ts";
import { type DescribedWeights, describeDelta, describeWeights, type NodeFacts, type ReceivedWeights } from "../round/other-nodes.ts";
import { toWireError } from "../round/root-cause.ts";
import { fetchAndTell, type ToldRound } from "../round/tell-arrivals.ts";
import { weightsDigest } from "../round/weights-digest.ts";
import { type OriginPart, openOriginPart } from "./open-origin-part.ts";
import { type IncomingWeights, receiveWeights } from "./receive-weights.ts";
import type { RoundLineage } from "./round-lineage.ts";

/** What the owner gives. */
export interface RelayWeightsHost {
  readonly nodeRank: number;
  readonly fetch: FetchWeights;
  readonly listener: FetchListener;
  readonly broadcast: NodeBroadcast;
  readonly lineage: RoundLineage;
  /** To every rank of this node. */
  tellRanks(message: CoordinatorMessage): void;
  /** To the head. */
  send(message: NodeMessage): void;
  /** Proportional set size of this process; null where the kernel does not tell. */
  memory(): CoordinatorMemory;
}

interface Round {
  readonly cancel: AbortController;
  /** The broadcasts that this node takes part in: a second one when a difference would not do. */
  readonly offers: BroadcastOffer[];
  readonly pssBytes: number | null;
  /** Somebody has asked for the weights here, or offered them. */
  begun: boolean;
  published: CoordinatorMessage | null;
  /** What ranks are told before that, where this node fetches. */
  told: ToldRound | null;
  placed: PlacedSegments | null;
  /** What other nodes pull when that is not the weights themselves. */
  delta: SegmentDescriptor | null;
  /** How the weights themselves are offered. */
  held: OfferOptions["held"];
  /** This node could not use the difference that it got. */
  refusedDelta: boolean;
  release: () => void;
  pssGrowthTold: boolean;
}

/** See the module comment. */
export class RelayWeights {
  readonly #host: RelayWeightsHost;
  readonly #rounds = new Map<number, Round>();
  /** What ranks of this node want: the head asks for parts of it when all ranks have said so. */
  readonly #asked = new Map<number, LoadRequest>();
  #lastOver = 0;

  constructor(host: RelayWeightsHost) {
    this.#host = host;
  }

  /** A rank asks for weights: where every node fetches, the first request starts this node's. */
  request(asked: LoadRequest): void {
    const { sequence, weights, options } = asked;
    const fetchOptions = options as FetchOptions;
    if (sequence > this.#lastOver && !this.#asked.has(sequence)) this.#asked.set(sequence, asked);
    if ((fetchOptions.fetch ?? "once-per-job") === "once-per-job") return;
    const round = this.#begin(sequence);
    if (round) void this.#attempt(sequence, () => this.#fetch(sequence, round, weights, fetchOptions));
  }

  /** A rank of this node offers weights: its neighbours get them at once, the other nodes through the head, as a difference where it pays. */
  own(rank: number, { sequence, manifest, placement }: Publication): void {
    const round = this.#begin(sequence);
    if (!round) return;
    const placed = placement as PlacedSegments;
    this.#publish(sequence, round, manifest, placed);
    void this.#host.lineage.own(sequence, placed).then(({ held, delta, base }) => {
      if (!this.#rounds.has(sequence)) {
        delta?.release();
        return;
      }
      round.held = held;
      const whole = describeWeights(manifest, placed);
      if (delta) {
        round.delta = delta.descriptor;
        round.cancel.signal.addEventListener("abort", () => delta.release(), { once: true });
      }
      const { manifest: told, ...described } = delta && base !== null ? describeDelta(whole, base, delta.descriptor.nbytes) : whole;
      this.#host.send({ type: "owned", sequence, rank, manifest: told, placement: described });
    });
  }

  /** The head says where a round's weights are. */
  take(message: WeightsOffer): void {
    const { sequence } = message;
    const offer = message.offer as BroadcastOffer;
    const { stripes, delta } = message.placement as Pick<DescribedWeights, "stripes" | "delta">;
    if (stripes === undefined && offer.owners.includes(this.#host.nodeRank)) {
      this.#serve(sequence, offer, delta !== undefined);
      return;
    }
    const round = this.#begin(sequence) ?? this.#refused(sequence);
    if (round) void this.#attempt(sequence, () => this.#receive(message, offer, round, stripes));
  }

  /** What a rank that joins now has missed. */
  missed(): CoordinatorMessage[] {
    return [...this.#rounds.values()].flatMap(({ published, told }) => published ?? told?.arrivals?.missed() ?? []);
  }

  /** The arrival as it goes on to the head: one rank of the node brings the growth of this process along. */
  annotate(arrival: Arrive): Arrive {
    if (arrival.barrier !== "round/reported" || arrival.failure !== undefined) return arrival;
    const round = this.#rounds.get(Number.parseInt(arrival.digest, 10));
    if (!round || round.pssGrowthTold) return arrival;
    round.pssGrowthTold = true;
    const now = this.#host.memory().after().pssBytes;
    const nodePssBytes = now === null || round.pssBytes === null ? null : now - round.pssBytes;
    return { ...arrival, payload: { ...(arrival.payload as object), nodePssBytes } };
  }

  /** Every rank has attached. */
  release(sequence: number): void {
    this.#rounds.get(sequence)?.release();
  }

  /** The round is over. */
  end(sequence: number, passed: boolean): void {
    this.#lastOver = Math.max(this.#lastOver, sequence);
    const round = this.#rounds.get(sequence);
    this.#rounds.delete(sequence);
    this.#asked.delete(sequence);
    round?.cancel.abort();
    round?.release();
    for (const { id } of round?.offers ?? []) this.#host.broadcast.end(id);
    this.#host.lineage.over(sequence, passed);
  }

  /** Ends all rounds. */
  close(): void {
    for (const sequence of [...this.#rounds.keys()]) this.end(sequence, false);
  }

  #begin(sequence: number): Round | null {
    if (sequence <= this.#lastOver || this.#rounds.get(sequence)?.begun) return null;
    const round: Round = {
      cancel: new AbortController(),
      offers: [],
      pssBytes: this.#host.memory().before().pssBytes,
      begun: true,
      published: null,
      told: null,
      placed: null,
      delta: null,
      held: undefined,
      refusedDelta: false,
      release: () => undefined,
      pssGrowthTold: false,
    };
    this.#rounds.set(sequence, round);
    return round;
  }

  async #attempt(sequence: number, work: () => Promise<NodeFacts>): Promise<void> {
    try {
      const facts = await work();
      if (this.#rounds.has(sequence)) this.#host.send({ type: "ready", sequence, facts });
    } catch (error) {
      const round = this.#rounds.get(sequence);
      if (!round) return;
      const cause = asCheckpointError(error);
      // The head may offer the bytes themselves.
      round.refusedDelta = cause.code === "RANKCAST_DELTA";
      this.#host.send({ type: "failed", sequence, cause: toWireError(toErrorRecord(cause)) });
    }
  }

  #refused(sequence: number): Round | null {
    const round = this.#rounds.get(sequence);
    if (!round?.refusedDelta) return null;
    round.refusedDelta = false;
    return round;
  }

  async #fetch(sequence: number, round: Round, weights: string, options: FetchOptions): Promise<NodeFacts> {
    const { fetch, listener } = this.#host;
    round.told = { sequence, weights, cancel: round.cancel, arrivals: null };
    const fetched = await fetchAndTell(round.told, { fetch, listener, broadcast: (message) => this.#host.tellRanks(message) }, options);
    round.release = () => fetched.release();
    if (!this.#rounds.has(sequence)) fetched.release();
    else this.#publish(sequence, round, fetched.manifestBytes, fetched.placed);
    listener.onPhase("verifying and loading");
    const digest = await weightsDigest(fetched, round.cancel.signal);
    await fetched.verify();
    return { digest, origin: fetched.origin(), sharedBytes: sharedBytesOf(fetched.placed) };
  }

  async #receive(message: WeightsOffer, offer: BroadcastOffer, round: Round, stripes: string | undefined): Promise<NodeFacts> {
    const { sequence, manifest, placement } = message;
    const { signal } = round.cancel;
    const part = stripes === undefined ? null : await this.#openPart(sequence, stripes, signal);
    const told = placement as Omit<IncomingWeights, "sequence">;
    const incoming = { ...told, sequence, ...(part ? { own: part.read } : {}) };
    let received: ReceivedWeights;
    try {
      signal.throwIfAborted();
      round.offers.push(offer);
      received = await receiveWeights(this.#host, offer, incoming, signal);
    } finally {
      await part?.close();
    }
    const { roundTripMs } = received;
    const casts = this.#cast(sequence, manifest, received.placed, told.castTo);
    const placed = casts?.placed ?? received.placed;
    round.release = () => {
      received.release();
      casts?.release();
    };
    if (!this.#rounds.has(sequence)) round.release();
    else this.#publish(sequence, round, manifest, placed);
    this.#host.listener.onPhase("loading");
    await casts?.done;
    const facts = { digest: null, origin: part?.origin() ?? newReadStats(), sharedBytes: sharedBytesOf(placed) };
    return roundTripMs === undefined ? facts : { ...facts, roundTripMs };
  }

  /** Each node casts for itself what the head casts, or what its own ranks have asked for. */
  #cast(sequence: number, manifest: Uint8Array, placed: PlacedSegments, castTo: DType | undefined): MadeCasts | null {
    const { limits, castTo: wished } = (this.#asked.get(sequence)?.options ?? {}) as FetchOptions & CastWish;
    const wanted = castTo ?? wished;
    return wanted === undefined ? null : castPlaced(decodeManifest(manifest, compileLimits(limits)), placed, wanted, limits);
  }

  /** This node's part of what all nodes read together. */
  #openPart(sequence: number, stripes: string, signal: AbortSignal): Promise<OriginPart> {
    const asked = this.#asked.get(sequence);
    if (!asked) throw new DistributionError("RANKCAST_PROTOCOL", "the head asks for a part of weights that no rank of this node wants", {});
    const { nodeRank, listener } = this.#host;
    return openOriginPart(asked.weights, asked.options as FetchOptions, { nodeRank, digest: stripes, listener, signal });
  }

  /** This node owns the bytes: it serves them, and says that it has them. */
  #serve(sequence: number, offer: BroadcastOffer, asDelta: boolean): void {
    const round = this.#rounds.get(sequence);
    if (!round?.placed) return;
    const { delta, held } = round;
    const { signal } = round.cancel;
    const served = asDelta && delta ? this.#host.broadcast.offer(offer, [delta], { signal }) : null;
    // A receiver that does not get everything says so itself.
    (served ?? this.#host.broadcast.offer(offer, round.placed.segments, { signal, held })).catch(() => undefined);
    round.offers.push(offer);
    if (round.offers.length > 1) return;
    this.#host.send({ type: "ready", sequence, facts: { digest: null, origin: newReadStats(), sharedBytes: sharedBytesOf(round.placed) } });
  }

  #publish(sequence: number, round: Round, manifest: Uint8Array, placed: PlacedSegments): void {
    round.placed = placed;
    round.published = { type: "published", sequence, manifest, placement: placed };
    this.#host.tellRanks(round.published);
  }
}

function sharedBytesOf({ segments, casts }: PlacedSegments): number {
  return [...segments, ...(casts?.segments ?? [])].reduce((sum, { nbytes }) => sum + nbytes, 0);
}
