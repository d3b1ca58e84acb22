/** From announcements to a membership: who gets which node rank, and which ranks. */
import { blockTopology, createTopology, type Topology, topologyDigest } from "../topology/topology.ts";
import type { NodeAnnouncement } from "./rendezvous-event.ts";
import type { MemberNode, Membership } from "./rendezvous-state.ts";

/**
 * The membership of an epoch. Node ranks that were asked for are kept; nodes that did not ask are ordered by their lowest rank when a
 * launcher has given ranks out already, else by the order in which they joined, and fill the gaps.
 * @throws {DistributionError} RANKCAST_TOPOLOGY when given ranks do not make a whole.
 */
export function formMembership(jobId: string, epoch: number, announcements: readonly NodeAnnouncement[]): Membership {
  const ordered = orderNodes(announcements);
  const topology = topologyOf(ordered);
  const nodes = ordered.map(({ nodeId, host, pid, address }, nodeRank): MemberNode => {
    return { nodeId, nodeRank, host, pid, address, ranks: topology.nodes[nodeRank]?.ranks ?? [] };
  });
  return { jobId, epoch, nodes, topology, topologyDigest: topologyDigest(topology) };
}

function orderNodes(announcements: readonly NodeAnnouncement[]): NodeAnnouncement[] {
  const places = new Map<number, NodeAnnouncement>();
  for (const node of announcements) if (node.nodeRank !== null) places.set(node.nodeRank, node);
  const lowest = ({ ranks }: NodeAnnouncement) => Math.min(...(ranks ?? []));
  const free = announcements.filter(({ nodeRank }) => nodeRank === null);
  // A stable sort: nodes without given ranks (lowest is infinite for all of them) stay in the order in which they joined.
  free.sort((a, b) => (lowest(a) === lowest(b) ? 0 : lowest(a) - lowest(b)));
  for (let nodeRank = 0; nodeRank < announcements.length; nodeRank += 1) {
    if (places.has(nodeRank)) continue;
    const node = free.shift();
    if (node !== undefined) places.set(nodeRank, node);
  }
  return [...places].sort(([a], [b]) => a - b).map(([, node]) => node);
}

function topologyOf(nodes: readonly NodeAnnouncement[]): Topology {
  // One node that brings ranks makes all of them say theirs: ranks in node order would collide with given ones.
  if (nodes.some(({ ranks }) => ranks !== null)) return createTopology(nodes.map(({ ranks }) => ranks ?? []));
  return blockTopology(nodes.map(({ localWorldSize }) => localWorldSize));
}
