/** Who pulls from whom. Planned from the offer alone, so every node finds the same without a word (law L6). */
import { createHash } from "node:crypto";
import { type BroadcastOffer, DEFAULT_HOP } from "./broadcast-offer.ts";
import { type ChunkLayout, layoutChunks } from "./chunk-layout.ts";
import { ChunkSet } from "./chunk-set.ts";
import { treeParents } from "./plan-tree.ts";

/** Neighbouring chunks of one owner are joined up to this, because an origin answers few large ranges faster than many small ones. */
const STRIPE_BYTES = 16 * 2 ** 20;

/** One node's part. */
export interface NodePlan {
  readonly nodeRank: number;
  /** From whom to pull, best first: the planned source, the source's source, and so on up, then everybody else. Empty: pulls nothing. */
  readonly sources: readonly number[];
  /** Who is planned to pull from here. */
  readonly successors: readonly number[];
  /** Chunks this node has or fills from the origin itself. */
  readonly own: ChunkSet;
}

/** A planned broadcast. */
export interface BroadcastPlan {
  readonly shape: "chain" | "tree" | "ring";
  readonly layout: ChunkLayout;
  /** Of each link. */
  readonly connections: number;
  /** Of shape, order and chunks; nodes that plan differently must not talk. */
  readonly digest: string;
  /** @throws {RangeError} for a node that takes no part. */
  node(nodeRank: number): NodePlan;
}

/**
 * Plans a checked offer. One owner: a pipelined chain from it, in membership order; above 64 nodes the faster of one chain and of chains under a
 * binary tree, by what a hop costs. Several owners: a ring of all nodes, and chunks belong to owners in stripes.
 */
export function planBroadcast(offer: BroadcastOffer): BroadcastPlan {
  const layout = layoutChunks(offer);
  const { connections = 1, hop = DEFAULT_HOP } = offer;
  const striped = offer.owners.length > 1;
  const order = orderNodes(offer);
  const parents = striped
    ? ringParents(order.length)
    : treeParents(order.length, { chunkCount: layout.count, chunkBytes: offer.chunkBytes, hop });
  const shape = striped ? "ring" : parents.every((parent, at) => parent === at - 1) ? "chain" : "tree";
  const placeOf = new Map(order.map((nodeRank, place) => [nodeRank, place]));
  return {
    shape,
    layout,
    connections,
    digest: createHash("sha256")
      .update(JSON.stringify([offer.id, offer.segmentBytes, offer.chunkBytes, offer.owners, order, parents, connections]))
      .digest("hex"),
    node(nodeRank) {
      const place = placeOf.get(nodeRank);
      if (place === undefined) throw new RangeError(`node ${nodeRank} takes no part`);
      const own = ownedChunks(offer, layout, nodeRank);
      return {
        nodeRank,
        sources: own.full ? [] : rankedSources(place, parents).map((each) => order[each] ?? 0),
        successors: order.filter((_, other) => parents[other] === place && other !== place),
        own,
      };
    },
  };
}

/** Chain order: the owner first, then the others as the membership lists them. A ring keeps the membership's order. */
function orderNodes({ owners, nodes }: BroadcastOffer): number[] {
  const ranks = nodes.map(({ nodeRank }) => nodeRank);
  const [owner] = owners;
  return owners.length > 1 || owner === undefined ? ranks : [owner, ...ranks.filter((rank) => rank !== owner)];
}

function ownedChunks({ owners, chunkBytes }: BroadcastOffer, { count }: ChunkLayout, nodeRank: number): ChunkSet {
  const at = owners.indexOf(nodeRank);
  if (at < 0) return ChunkSet.none(count);
  const stripe = Math.max(1, Math.floor(STRIPE_BYTES / chunkBytes));
  // Stripes shrink until every owner has some.
  const run = Math.max(1, Math.min(stripe, Math.floor(count / owners.length)));
  return ChunkSet.where(count, (index) => Math.floor(index / run) % owners.length === at);
}

function ringParents(nodeCount: number): number[] {
  return Array.from({ length: nodeCount }, (_, place) => (place + nodeCount - 1) % nodeCount);
}

/** Up the tree to the root first, then the rest by distance in order, nearest earlier places first. */
function rankedSources(place: number, parents: readonly number[]): number[] {
  const ranked: number[] = [];
  const seen = new Set([place]);
  const add = (each: number): void => {
    if (each < 0 || seen.has(each)) return;
    seen.add(each);
    ranked.push(each);
  };
  for (let each = parents[place] ?? -1; each >= 0 && !seen.has(each); each = parents[each] ?? -1) add(each);
  for (let distance = 1; distance < parents.length; distance += 1) {
    add(place - distance);
    if (place + distance < parents.length) add(place + distance);
  }
  return ranked;
}
