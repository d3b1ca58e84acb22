/** Who pulls from whom. Planned from the offer alone, so every node finds the same without a word (law L6). */
import { createHash } from "node:crypto";
import type { BroadcastOffer } from "./broadcast-offer.ts";
import { type ChunkLayout, layoutChunks } from "./chunk-layout.ts";
import { ChunkSet } from "./chunk-set.ts";

/** Nodes of one chain; longer ones are weighed against chains under a tree. */
export const CHAIN_NODES_MAX = 64;
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
  /** Of shape, order and chunks; nodes that plan differently must not talk. */
  readonly digest: string;
  /** @throws {RangeError} for a node that takes no part. */
  node(nodeRank: number): NodePlan;
}

/**
 * Plans a checked offer. One owner: a pipelined chain from it, in membership order; above 64 nodes the shorter, in chunk times, of one chain
 * and of chains under a binary tree. Several owners: a ring of all nodes, and chunks belong to owners in stripes.
 */
export function planBroadcast(offer: BroadcastOffer): BroadcastPlan {
  const layout = layoutChunks(offer);
  const striped = offer.owners.length > 1;
  const order = orderNodes(offer);
  const parents = striped ? ringParents(order.length) : treeParents(order.length, layout.count);
  const shape = striped ? "ring" : parents.every((parent, at) => parent === at - 1) ? "chain" : "tree";
  const placeOf = new Map(order.map((nodeRank, place) => [nodeRank, place]));
  return {
    shape,
    layout,
    digest: createHash("sha256")
      .update(JSON.stringify([offer.id, offer.segmentBytes, offer.chunkBytes, offer.owners, order, parents]))
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

/**
 * The parent of each place; place 0 is the owner and its own parent is -1. A chain of n nodes ends after `n - 2 + k` chunk times for k
 * chunks; a tree whose inner nodes send everything twice after about `2k` and its depth. So long transfers are chains at any size.
 */
function treeParents(nodeCount: number, chunkCount: number): number[] {
  const chain = Array.from({ length: nodeCount }, (_, place) => place - 1);
  if (nodeCount <= CHAIN_NODES_MAX) return chain;
  const tips = tipCount(nodeCount);
  const inner = 2 * tips - 1;
  const chainSteps = nodeCount - 2 + chunkCount;
  const treeSteps = 2 * (Math.log2(tips) + chunkCount) + Math.ceil((nodeCount - inner) / tips);
  if (chainSteps <= treeSteps) return chain;
  return Array.from({ length: nodeCount }, (_, place) => {
    if (place === 0) return -1;
    // A heap: places 1 .. inner - 1 are the binary tree, the last `tips` of it begin the chains, which take the rest in turn.
    return place < inner ? (place - 1) >> 1 : place - tips;
  });
}

/** The number of chains, a power of two, so that none is longer than 64. */
function tipCount(nodeCount: number): number {
  let tips = 2;
  while (Math.ceil((nodeCount - (2 * tips - 1)) / tips) + 1 > CHAIN_NODES_MAX) tips *= 2;
  return tips;
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
