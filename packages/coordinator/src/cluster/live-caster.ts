/** The head's hand on live weights of the job's nodes: tells the publisher's node to serve a version and the subscribers' nodes to bring it. */
import type { BroadcastReport } from "@rankcast/core";
import type { Membership, SegmentDescriptor } from "@rankcast/core/runtime";
import type { KeptTarget } from "../broadcast/incoming.ts";
import type { RankSet } from "../broadcast/kept-generations.ts";
import type { BroadcastOffer } from "../broadcast/node-broadcast.ts";
import type { CarriedVersion, LiveNodes } from "../round/live-carriages.ts";
import type { LinkPlanner } from "./link-planner.ts";
import type { LiveCommand, LiveDifference } from "./live-segments.ts";
import { broadcastId } from "./node-caster.ts";

/** A version whose difference its node was asked for. */
interface Encoding {
  readonly owner: number;
  readonly targets: Set<number>;
  readonly version: CarriedVersion;
  readonly base: CarriedVersion;
}

/** See the module comment. */
export class LiveCaster implements LiveNodes {
  readonly #membership: Membership;
  readonly #links: LinkPlanner;
  readonly #send: (nodeRank: number, command: LiveCommand) => void;
  readonly #encodings = new Map<number, Encoding>();
  /** By sequence, as long as it is served. */
  readonly #travelled = new Map<number, BroadcastReport>();

  /** `send` reaches every node, the head's own too. */
  constructor(membership: Membership, links: LinkPlanner, send: (nodeRank: number, command: LiveCommand) => void) {
    this.#membership = membership;
    this.#links = links;
    this.#send = send;
  }

  carry(sequence: number, owner: number, targets: readonly number[], version: CarriedVersion, base: CarriedVersion | null): void {
    const source = base && differenceOf(version, base);
    if (!source) {
      this.#start(sequence, owner, targets, version, null);
      return;
    }
    this.#encodings.set(sequence, { owner, targets: new Set(targets), version, base });
    this.#send(owner, { type: "liveEncode", sequence, source });
  }

  encoded(sequence: number, segment: SegmentDescriptor | null): void {
    const encoding = this.#encodings.get(sequence);
    this.#encodings.delete(sequence);
    if (!encoding || encoding.targets.size === 0) return;
    const { owner, targets, version, base } = encoding;
    this.#start(sequence, owner, [...targets], version, segment && { segment, base: base.number });
  }

  travelled(sequence: number): BroadcastReport | null {
    return this.#travelled.get(sequence) ?? null;
  }

  drop(sequence: number, nodeRank: number): void {
    const encoding = this.#encodings.get(sequence);
    if (encoding?.targets.delete(nodeRank)) return;
    if (encoding?.owner === nodeRank) this.#encodings.delete(sequence);
    this.#travelled.delete(sequence);
    this.#send(nodeRank, { type: "liveDrop", sequence });
  }

  #start(
    sequence: number,
    owner: number,
    targets: readonly number[],
    { number, segments, kept }: CarriedVersion,
    delta: { readonly segment: SegmentDescriptor; readonly base: number } | null,
  ): void {
    const members = new Set([owner, ...targets]);
    const nodes = this.#membership.nodes.filter(({ nodeRank }) => members.has(nodeRank));
    const served = delta ? [delta.segment] : segments;
    const segmentBytes = served.map(({ nbytes }) => nbytes);
    const bytes = segmentBytes.reduce((sum, each) => sum + each, 0);
    const id = broadcastId(this.#membership, sequence);
    const offer: BroadcastOffer = { id, owners: [owner], ...this.#links.plan(segmentBytes, nodes) };
    const target: KeptTarget | null = kept && {
      place: { lineage: kept.lineage, layout: kept.layout, generation: number },
      segmentBytes: segments.map(({ nbytes }) => nbytes),
      base: delta?.base ?? null,
    };
    this.#travelled.set(sequence, { bytes, encoding: delta ? "delta" : "full" });
    this.#send(owner, { type: "liveServe", sequence, offer, segments: served });
    for (const nodeRank of targets) this.#send(nodeRank, { type: "liveBring", sequence, offer, kept: target });
  }
}

function differenceOf(version: CarriedVersion, base: CarriedVersion): LiveDifference | null {
  if (!version.kept || !base.kept) return null;
  const setOf = ({ segments, kept }: CarriedVersion): RankSet => ({ id: kept?.set ?? "", descriptors: segments });
  const { lineage, layout } = version.kept;
  return {
    place: { lineage, layout, generation: version.number },
    source: setOf(version),
    base: { generation: base.number, source: setOf(base) },
  };
}
