/**
 * Weights that ranks publish and subscribe to without waiting for each other. The machine in core says who may look at what; this file keeps what a
 * version is (manifest, segments) and turns instructions into messages. A version that a subscriber of another node is offered is brought there
 * first; it counts as offered meanwhile, so its publisher does not write over it.
 */
import { DistributionError } from "@rankcast/core";
import {
  createLeaseState,
  type LeasedPublication,
  type LeaseInstruction,
  type LeaseState,
  type PlacedSegments,
  type SubscriptionPolicy,
  stepLeases,
} from "@rankcast/core/runtime";
import type { CoordinatorMessage, Offer, Subscribe, Taken, Unsubscribe } from "../grpc/coordination-server.ts";
import { type BroughtVersion, type CarriageOutcome, type CarriedVersion, LiveCarriages, type LiveNodes } from "./live-carriages.ts";

/** What the owner does for it. */
export interface LiveWeightsHost {
  now(): number;
  send(rank: number, message: CoordinatorMessage): void;
  nodeOf(rank: number): number;
  readonly nodes: LiveNodes;
  /** Something was published, taken or let go of. */
  onChange(change: { readonly published: boolean; readonly behindMax: number; readonly held: number }): void;
}

interface Version {
  readonly manifest: Uint8Array;
  readonly placement: PlacedSegments;
  readonly offeredMs: number;
}

/** An offer of the machine, with what it is about. */
interface OpenOffer {
  readonly rank: number;
  readonly id: number;
  readonly publication: LeasedPublication;
  readonly version: Version;
}

type LeaseEvent = Parameters<typeof stepLeases>[1];

const POLICIES: ReadonlySet<string> = new Set<SubscriptionPolicy>(["latest", "every"]);
const NO_BYTES = new Uint8Array(0);

/** See the module comment. */
export class LiveWeights {
  readonly #host: LiveWeightsHost;
  #state: LeaseState = createLeaseState();
  /** By number, as long as the machine knows them. */
  readonly #versions = new Map<number, Version>();
  /** Manifest of the last layout of each publisher. */
  readonly #layouts = new Map<number, { readonly id: string | undefined; readonly manifest: Uint8Array }>();
  /** The layout each subscription got a manifest of last. */
  readonly #sent = new Map<string, string | undefined>();

  readonly #carriages: LiveCarriages;
  /** Offers whose version is on its way to the subscriber's node. */
  readonly #waiting = new Set<OpenOffer>();

  constructor(host: LiveWeightsHost) {
    this.#host = host;
    this.#carriages = new LiveCarriages(host.nodes, (number) => this.#state.publications.has(number));
  }

  /** A rank publishes a version. @throws {DistributionError} RANKCAST_PROTOCOL for a layout whose manifest never came. */
  offer(rank: number, { offer, version, manifest, placement }: Offer): void {
    const placed = placement as PlacedSegments;
    const id = placed.reuse?.layout;
    if (manifest.byteLength > 0) this.#layouts.set(rank, { id, manifest });
    const layout = this.#layouts.get(rank);
    if (!layout || layout.id !== id)
      throw new DistributionError("RANKCAST_PROTOCOL", "an offer without a manifest is of an unknown layout", {});
    this.#versions.set(this.#state.newest + 1, { manifest: layout.manifest, placement: placed, offeredMs: this.#host.now() });
    this.#step({ type: "publish", rank, offer, version });
  }

  /** A rank wants versions. @throws {DistributionError} RANKCAST_PROTOCOL for an unknown policy. */
  subscribe(rank: number, { subscription: id, policy }: Subscribe): void {
    if (!POLICIES.has(policy)) throw new DistributionError("RANKCAST_PROTOCOL", "a subscription's policy is latest or every", {});
    this.#sent.delete(keyOf({ rank, id }));
    this.#step({ type: "subscribe", rank, id, policy: policy as SubscriptionPolicy });
  }

  /** All replicas of a subscription use the version now. */
  taken(rank: number, { subscription: id, number, beside }: Taken): void {
    this.#step({ type: "taken", rank, id, number, beside });
  }

  /** A rank wants no more. */
  unsubscribe(rank: number, { subscription: id }: Unsubscribe): void {
    this.#step({ type: "unsubscribe", rank, id });
  }

  /** A rank has left or was lost. */
  gone(rank: number): void {
    this.#layouts.delete(rank);
    this.#step({ type: "gone", rank });
  }

  /** A node has a version, or did not get or could not serve it: subscriptions that wait there go on, or end with the cause. */
  brought(nodeRank: number, sequence: number, outcome: CarriageOutcome): void {
    const settled = this.#carriages.settle(sequence, nodeRank, outcome);
    if (!settled) {
      this.#retain();
      return;
    }
    const { number, nodes } = settled;
    for (const offer of this.#waiting) {
      const { rank, id, publication } = offer;
      if (publication.number !== number || !nodes.includes(this.#host.nodeOf(rank))) continue;
      this.#waiting.delete(offer);
      const here = this.#carriages.find(number, this.#host.nodeOf(rank));
      if ("cause" in outcome) this.#host.send(rank, { type: "subscriptionEnded", subscription: id, cause: outcome.cause });
      else if (here) this.#give(offer, here);
    }
    this.#retain();
  }

  /** Nobody wants anything any more: nodes give their memory back. */
  close(): void {
    this.#waiting.clear();
    this.#carriages.retain(() => false);
  }

  #step(event: LeaseEvent): void {
    const { state, instructions } = stepLeases(this.#state, event);
    this.#state = state;
    for (const offer of this.#waiting) {
      if (state.subscriptions.get(keyOf(offer))?.offered !== offer.publication.number) this.#waiting.delete(offer);
    }
    // Before a publisher hears that memory is free: nobody reads from it any more.
    this.#retain();
    const wanted = instructions.flatMap((instruction) => this.#perform(instruction) ?? []);
    if (wanted.length > 0) this.#carry(wanted);
    for (const number of this.#versions.keys()) if (!state.publications.has(number)) this.#versions.delete(number);
    const behind = [...state.subscriptions.values()].map(({ held }) => state.newest - (held ?? 0));
    this.#host.onChange({ published: event.type === "publish", behindMax: Math.max(0, ...behind), held: state.publications.size });
  }

  /** Gives an offer whose version nobody brings to the subscriber's node yet. */
  #perform(instruction: LeaseInstruction): OpenOffer | null {
    switch (instruction.type) {
      case "offer":
        return this.#offer(instruction);
      case "newest":
        this.#host.send(instruction.rank, { type: "newest", subscription: instruction.id, number: instruction.number });
        return null;
      case "free":
        this.#host.send(instruction.rank, { type: "freed", offer: instruction.offer });
        return null;
    }
  }

  #offer({ rank, id, publication }: Extract<LeaseInstruction, { type: "offer" }>): OpenOffer | null {
    const version = this.#versions.get(publication.number);
    if (!version) return null;
    const offer = { rank, id, publication, version };
    const nodeRank = this.#host.nodeOf(rank);
    if (nodeRank === this.#host.nodeOf(publication.rank) || version.placement.segments.length === 0) {
      this.#give(offer, null);
      return null;
    }
    const here = this.#carriages.find(publication.number, nodeRank);
    if (here) this.#give(offer, here);
    else this.#waiting.add(offer);
    return here === undefined ? offer : null;
  }

  /** Versions that are wanted at the same moment travel in one broadcast to all nodes. */
  #carry(wanted: readonly OpenOffer[]): void {
    const targets = new Map<OpenOffer["publication"], Set<number>>();
    for (const { rank, publication } of wanted) {
      const nodes = targets.get(publication) ?? new Set();
      targets.set(publication, nodes.add(this.#host.nodeOf(rank)));
    }
    for (const [{ number, rank }, nodes] of targets) {
      const version = this.#versions.get(number);
      if (version) this.#carriages.carry(carriedVersion(number, rank, version), this.#host.nodeOf(rank), [...nodes]);
    }
  }

  #retain(): void {
    if (this.#carriages.isEmpty) return;
    const referred = new Set<string>();
    for (const { rank, held, beside, offered, queue } of this.#state.subscriptions.values()) {
      for (const number of [held, ...beside, offered, ...queue]) referred.add(`${number} ${this.#host.nodeOf(rank)}`);
    }
    this.#carriages.retain((number, nodeRank) => referred.has(`${number} ${nodeRank}`));
  }

  /** Tells a subscriber where the version lies: where it was brought to its node, or (null) where its publisher has put it. */
  #give({ rank, id, publication, version }: OpenOffer, brought: BroughtVersion | null): void {
    const { manifest, placement, offeredMs } = version;
    const layout = placement.reuse?.layout;
    const key = keyOf({ rank, id });
    // A manifest can be megabytes: it travels once per layout.
    const isKnown = layout !== undefined && this.#sent.get(key) === layout;
    this.#sent.set(key, layout);
    this.#host.send(rank, {
      type: "offered",
      subscription: id,
      number: publication.number,
      version: publication.version,
      manifest: isKnown ? NO_BYTES : manifest,
      placement: brought ? broughtPlacement(placement, brought) : placement,
      ageMs: Math.round(this.#host.now() - offeredMs),
    });
  }
}

function carriedVersion(number: number, rank: number, { placement: { segments, reuse } }: Version): CarriedVersion {
  const kept = reuse && reuse.set !== null ? { lineage: `rank ${rank}`, layout: reuse.layout, set: reuse.set } : null;
  return { number, segments, kept };
}

/** What is kept on the subscriber's node is attached once; what is not is given back for good. */
function broughtPlacement({ reuse, ...place }: PlacedSegments, { segments, set, travelled }: BroughtVersion): PlacedSegments {
  return {
    ...{ ...place, segments },
    ...(reuse && set !== null ? { reuse: { ...reuse, set } } : {}),
    ...(travelled ? { travelled } : {}),
  };
}

function keyOf({ rank, id }: { readonly rank: number; readonly id: number }): string {
  return `${rank}/${id}`;
}
