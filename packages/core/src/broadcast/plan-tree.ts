/** The shape of a broadcast from one owner: one chain, or chains under a binary tree, whichever brings the last chunk to the last node earlier. */
import type { HopCost } from "./broadcast-offer.ts";

/** Up to so many nodes a broadcast is one chain, and no chain under a tree is longer. */
export const CHAIN_NODES_MAX = 64;

/** What decides beside the number of nodes. */
export interface TreeTerms {
  readonly chunkCount: number;
  readonly chunkBytes: number;
  readonly hop: HopCost;
}

/** Half a round trip and what the node does with a chunk. Milliseconds that a chunk takes per hop beyond its time on the wire. */
export function hopMs({ roundTripMs, handlingMs }: HopCost): number {
  return roundTripMs / 2 + handlingMs;
}

/**
 * Milliseconds until the last of `nodeCount` nodes has the last chunk of one chain: the chunks one after the other over the first link, and over each
 * further link one chunk's time; a hop's latency is paid once per hop, because chunks follow each other without waiting for answers.
 */
export function chainMs(nodeCount: number, { chunkCount, chunkBytes, hop }: TreeTerms): number {
  const chunkMs = (chunkBytes / hop.bytesPerSecond) * 1000;
  return chunkCount * chunkMs + hopMs(hop) + Math.max(nodeCount - 2, 0) * (chunkMs + hopMs(hop));
}

/**
 * The same for `tips` chains (a power of two) under a binary tree: its inner nodes send every chunk twice, so the first link takes twice as long, and each
 * further level adds two chunks' time for the second child.
 */
export function treeMs(nodeCount: number, tips: number, { chunkCount, chunkBytes, hop }: TreeTerms): number {
  const chunkMs = (chunkBytes / hop.bytesPerSecond) * 1000;
  const levels = Math.log2(tips);
  const below = chainLength(nodeCount, tips) * (chunkMs + hopMs(hop));
  return 2 * chunkCount * chunkMs + hopMs(hop) + (levels - 1) * (2 * chunkMs + hopMs(hop)) + below;
}

/**
 * The parent of each place; place 0 is the owner and its own parent is -1. Long transfers are chains at any size, because a tree doubles the time of
 * every byte; short ones over many nodes are trees, because a chain pays every hop.
 */
export function treeParents(nodeCount: number, terms: TreeTerms): number[] {
  const tips = bestTips(nodeCount, terms);
  if (tips === 1) return Array.from({ length: nodeCount }, (_, place) => place - 1);
  const inner = 2 * tips - 1;
  return Array.from({ length: nodeCount }, (_, place) => {
    if (place === 0) return -1;
    // A heap: places 1 .. inner - 1 are the binary tree, the last `tips` of it begin the chains, which take the rest in turn.
    return place < inner ? (place - 1) >> 1 : place - tips;
  });
}

/** The number of chains under the tree; 1: no tree. */
function bestTips(nodeCount: number, terms: TreeTerms): number {
  if (nodeCount <= CHAIN_NODES_MAX) return 1;
  let best = 1;
  let bestMs = chainMs(nodeCount, terms);
  for (let tips = 2; 2 * tips - 1 <= nodeCount; tips *= 2) {
    if (chainLength(nodeCount, tips) + 1 > CHAIN_NODES_MAX) continue;
    const ms = treeMs(nodeCount, tips, terms);
    if (ms >= bestMs) continue;
    best = tips;
    bestMs = ms;
  }
  return best;
}

/** Nodes behind each tip. */
function chainLength(nodeCount: number, tips: number): number {
  return Math.ceil((nodeCount - (2 * tips - 1)) / tips);
}
