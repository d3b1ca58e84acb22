/**
 * Weights that ranks publish and subscribe to without waiting for each other. The machine in core says who may look at what; this file keeps what a
 * version is (manifest, segments) and turns instructions into messages.
 */
import { DistributionError } from "@rankcast/core";
import {
  createLeaseState,
  type LeaseInstruction,
  type LeaseState,
  type PlacedSegments,
  type SubscriptionPolicy,
  stepLeases,
} from "@rankcast/core/runtime";
import type { CoordinatorMessage, Offer, Subscribe, Taken, Unsubscribe } from "../grpc/coordination-server.ts";

/** What the owner does for it. */
export interface LiveWeightsHost {
  now(): number;
  send(rank: number, message: CoordinatorMessage): void;
  /** Something was published, taken or let go of. */
  onChange(change: { readonly published: boolean; readonly behindMax: number; readonly held: number }): void;
}

interface Version {
  readonly manifest: Uint8Array;
  readonly placement: PlacedSegments;
  readonly offeredMs: number;
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

  constructor(host: LiveWeightsHost) {
    this.#host = host;
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
    this.#sent.delete(`${rank}/${id}`);
    this.#step({ type: "subscribe", rank, id, policy: policy as SubscriptionPolicy });
  }

  /** All replicas of a subscription use the version now. */
  taken(rank: number, { subscription: id, number }: Taken): void {
    this.#step({ type: "taken", rank, id, number });
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

  #step(event: LeaseEvent): void {
    const { state, instructions } = stepLeases(this.#state, event);
    this.#state = state;
    for (const instruction of instructions) this.#perform(instruction);
    for (const number of this.#versions.keys()) if (!state.publications.has(number)) this.#versions.delete(number);
    const behind = [...state.subscriptions.values()].map(({ held }) => state.newest - (held ?? 0));
    this.#host.onChange({ published: event.type === "publish", behindMax: Math.max(0, ...behind), held: state.publications.size });
  }

  #perform(instruction: LeaseInstruction): void {
    switch (instruction.type) {
      case "offer":
        this.#offer(instruction);
        return;
      case "newest":
        this.#host.send(instruction.rank, { type: "newest", subscription: instruction.id, number: instruction.number });
        return;
      case "free":
        this.#host.send(instruction.rank, { type: "freed", offer: instruction.offer });
    }
  }

  #offer({ rank, id, publication }: Extract<LeaseInstruction, { type: "offer" }>): void {
    const version = this.#versions.get(publication.number);
    if (!version) return;
    const { manifest, placement, offeredMs } = version;
    const layout = placement.reuse?.layout;
    const key = `${rank}/${id}`;
    // A manifest can be megabytes: it travels once per layout.
    const isKnown = layout !== undefined && this.#sent.get(key) === layout;
    this.#sent.set(key, layout);
    this.#host.send(rank, {
      type: "offered",
      subscription: id,
      number: publication.number,
      version: publication.version,
      manifest: isKnown ? NO_BYTES : manifest,
      placement,
      ageMs: Math.round(this.#host.now() - offeredMs),
    });
  }
}
