/** The head's hand on live weights of the job's nodes: tells the publisher's node to serve a version and the subscribers' nodes to bring it. */
import type { Membership, SegmentDescriptor } from "@rankcast/core/runtime";
import type { BroadcastOffer } from "../broadcast/node-broadcast.ts";
import type { LiveNodes } from "../round/live-carriages.ts";
import type { LinkPlanner } from "./link-planner.ts";
import type { LiveCommand } from "./live-segments.ts";
import { broadcastId } from "./node-caster.ts";

/** See the module comment. */
export class LiveCaster implements LiveNodes {
  readonly #membership: Membership;
  readonly #links: LinkPlanner;
  readonly #send: (nodeRank: number, command: LiveCommand) => void;

  /** `send` reaches every node, the head's own too. */
  constructor(membership: Membership, links: LinkPlanner, send: (nodeRank: number, command: LiveCommand) => void) {
    this.#membership = membership;
    this.#links = links;
    this.#send = send;
  }

  carry(sequence: number, owner: number, targets: readonly number[], segments: readonly SegmentDescriptor[]): void {
    const members = new Set([owner, ...targets]);
    const nodes = this.#membership.nodes.filter(({ nodeRank }) => members.has(nodeRank));
    const segmentBytes = segments.map(({ nbytes }) => nbytes);
    const id = broadcastId(this.#membership, sequence);
    const offer: BroadcastOffer = { id, owners: [owner], ...this.#links.plan(segmentBytes, nodes) };
    this.#send(owner, { type: "liveServe", sequence, offer, segments });
    for (const nodeRank of targets) this.#send(nodeRank, { type: "liveBring", sequence, offer });
  }

  drop(sequence: number, nodeRank: number): void {
    this.#send(nodeRank, { type: "liveDrop", sequence });
  }
}
