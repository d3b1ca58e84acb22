/** How a job's broadcasts are sent: size of chunks, connections per link, and what a hop costs, from what earlier broadcasts have shown. */
import { type BroadcastOffer, chooseConnections, DEFAULT_HOP, type HopCost, type MemberNode } from "@rankcast/core/runtime";
import { chooseChunkBytes } from "../broadcast/node-broadcast.ts";
import { isLoopback, parseLinkAddress } from "../link/link-key.ts";

/** The part of an offer that is planned here. */
export type PlannedTerms = Required<Pick<BroadcastOffer, "segmentBytes" | "chunkBytes" | "nodes" | "connections" | "hop">>;

/** One per job and epoch, on the head. Its plans travel with the offers, so every node plans the same. */
export class LinkPlanner {
  /** Connections per link, where somebody has said so. */
  readonly #connections: number | null;
  readonly #roundTrips = new Map<number, number>();

  constructor(connections: number | null) {
    this.#connections = connections;
  }

  /** A node has dialled its neighbour: the fastest answer so far counts, because a busy machine answers late. */
  learn(nodeRank: number, roundTripMs: number): void {
    if (!(roundTripMs >= 0)) return;
    this.#roundTrips.set(nodeRank, Math.min(roundTripMs, this.#roundTrips.get(nodeRank) ?? roundTripMs));
  }

  /** The terms of a broadcast of these segments among these nodes. */
  plan(segmentBytes: readonly number[], members: readonly MemberNode[]): PlannedTerms {
    const totalBytes = segmentBytes.reduce((sum, each) => sum + each, 0);
    const nodes = members.map(({ nodeRank, address }) => ({ nodeRank, address }));
    const hop = this.#hop();
    const oneMachine = nodes.every(({ address }) => isHere(address));
    const connections = this.#connections ?? chooseConnections({ totalBytes, nodeCount: nodes.length, oneMachine, hop });
    const chunkBytes = chooseChunkBytes(totalBytes, nodes.length, connections);
    return { segmentBytes, chunkBytes, nodes, connections, hop };
  }

  /** The mean: what a chunk pays on its way down a chain is the sum. */
  #hop(): HopCost {
    const known = [...this.#roundTrips.values()];
    if (known.length === 0) return DEFAULT_HOP;
    return { ...DEFAULT_HOP, roundTripMs: known.reduce((sum, each) => sum + each, 0) / known.length };
  }
}

function isHere(address: string): boolean {
  const where = parseLinkAddress(address);
  return where.type === "unix" || isLoopback(where.host);
}
