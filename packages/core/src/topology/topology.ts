/** Which ranks live on which node. The same on every node of an epoch, so plans made from it are the same too (law L6). */
import { createHash } from "node:crypto";
import { DistributionError } from "../errors/checkpoint-error.ts";
import type { RankIdentity } from "./rank-identity.ts";

/** One node. */
export interface NodeTopology {
  readonly nodeRank: number;
  /** Its ranks, ascending; the position is the local rank. Need not be consecutive (Slurm's cyclic distribution). */
  readonly ranks: readonly number[];
}

/** All nodes of a job, ordered by node rank. Every rank from 0 to `worldSize - 1` is on exactly one node. */
export interface Topology {
  readonly worldSize: number;
  readonly nodes: readonly NodeTopology[];
}

/** What one rank knows of itself before all ranks have met. `nodeKey` is equal for ranks of one node and different otherwise. */
export interface RankSighting {
  readonly rank: number;
  readonly nodeKey: string;
}

/**
 * A topology from each node's ranks, in node order. Ranks of a node are sorted.
 * @throws {DistributionError} RANKCAST_TOPOLOGY when a rank is missing, twice, or a node has none.
 */
export function createTopology(ranksOfNodes: readonly (readonly number[])[]): Topology {
  const worldSize = ranksOfNodes.reduce((sum, ranks) => sum + ranks.length, 0);
  const owner = new Array<number>(worldSize).fill(-1);
  const nodes = ranksOfNodes.map((ranks, nodeRank) => {
    if (ranks.length === 0) throw broken(`node ${nodeRank} has no rank`, { nodeRank });
    for (const rank of ranks) {
      if (!(rank < worldSize))
        throw broken(`rank ${rank} of node ${nodeRank} is not below the world size ${worldSize}`, { rank, nodeRank });
      const other = owner[rank];
      if (other !== -1) throw broken(`rank ${rank} is on node ${other} and on node ${nodeRank}`, { rank, nodeRank });
      owner[rank] = nodeRank;
    }
    return { nodeRank, ranks: [...ranks].sort((a, b) => a - b) };
  });
  if (worldSize === 0) throw broken("a job needs at least one rank", {});
  return { worldSize, nodes };
}

/**
 * The usual placement: node 0 has the first ranks, and so on.
 * @throws {DistributionError} RANKCAST_TOPOLOGY when a node has no rank.
 */
export function blockTopology(localWorldSizes: readonly number[]): Topology {
  let first = 0;
  return createTopology(
    localWorldSizes.map((size) => {
      const ranks = Array.from({ length: size }, (_, localRank) => first + localRank);
      first += size;
      return ranks;
    }),
  );
}

/**
 * Numbers the nodes by their lowest rank, for launchers that do not say which node a rank is on (Open MPI).
 * @throws {DistributionError} RANKCAST_TOPOLOGY when ranks are missing or seen twice.
 */
export function topologyFromSightings(sightings: readonly RankSighting[]): Topology {
  const ranksOfKeys = new Map<string, number[]>();
  for (const { rank, nodeKey } of [...sightings].sort((a, b) => a.rank - b.rank)) {
    const ranks = ranksOfKeys.get(nodeKey);
    if (ranks === undefined) ranksOfKeys.set(nodeKey, [rank]);
    else ranks.push(rank);
  }
  return createTopology([...ranksOfKeys.values()]);
}

/**
 * The identity of a rank in a topology.
 * @throws {DistributionError} RANKCAST_TOPOLOGY when the rank is not in it.
 */
export function identityOf(topology: Topology, rank: number): RankIdentity {
  for (const { nodeRank, ranks } of topology.nodes) {
    const localRank = ranks.indexOf(rank);
    if (localRank === -1) continue;
    return { rank, localRank, nodeRank, worldSize: topology.worldSize, localWorldSize: ranks.length, nodeCount: topology.nodes.length };
  }
  throw broken(`rank ${rank} is not in the topology of ${topology.worldSize} ranks`, { rank });
}

/** Equal for equal topologies and for no others; nodes compare it when they join. 64 hex digits. */
export function topologyDigest(topology: Topology): string {
  return createHash("sha256")
    .update(topology.nodes.map(({ ranks }) => ranks.join(",")).join(";"))
    .digest("hex");
}

function broken(message: string, details: { [name: string]: number }): DistributionError {
  return new DistributionError("RANKCAST_TOPOLOGY", message, { details });
}
