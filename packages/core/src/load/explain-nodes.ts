/** How several nodes would share a load: who goes to the origin for what, and how the bytes go on. */
import { type BroadcastOffer, DEFAULT_HOP } from "../broadcast/broadcast-offer.ts";
import { chooseChunkBytes } from "../broadcast/choose-chunk-bytes.ts";
import { chooseConnections } from "../broadcast/choose-connections.ts";
import { planBroadcast } from "../broadcast/plan-broadcast.ts";
import { planSharedReads } from "../segment/plan-shared-reads.ts";
import type { StripePlan } from "../segment/plan-stripes.ts";
import type { FetchPolicy } from "./fetch-options.ts";
import type { OpenedWeights } from "./open-weights.ts";

/** What a node reads of the origin. */
export interface OwnerPlan {
  readonly nodeRank: number;
  readonly bytes: number;
}

/** How bytes go from node to node, as planned for a network that nobody has measured yet. */
export interface TravelPlan {
  readonly shape: "chain" | "tree" | "ring";
  readonly chunkBytes: number;
  readonly chunks: number;
  /** Of each link. */
  readonly connections: number;
  /** By node rank: from which node it pulls; null for the one that has everything. */
  readonly pullsFrom: readonly (number | null)[];
}

/** See the module comment. */
export interface NodesPlan {
  readonly owners: readonly OwnerPlan[];
  /** The one node that reads the files; null: each node reads, all of them or a part. */
  readonly reader: number | null;
  /** Null: no bytes travel between nodes. */
  readonly broadcast: TravelPlan | null;
}

/** Who takes part. */
export interface NodesTerms {
  readonly nnodes: number;
  readonly policy: FetchPolicy;
  /** What one reader reads. */
  readonly readBytes: number;
}

/** Plans it, as the head of a job would. */
export function explainNodes(opened: OpenedWeights, { nnodes, policy, readBytes }: NodesTerms): NodesPlan {
  const nodes = Array.from({ length: nnodes }, (_, nodeRank) => nodeRank);
  if (nnodes === 1) return { owners: [{ nodeRank: 0, bytes: readBytes }], reader: 0, broadcast: null };
  if (policy !== "once-per-job")
    return { owners: nodes.map((nodeRank) => ({ nodeRank, bytes: readBytes })), reader: null, broadcast: null };
  const stripes = planSharedReads(opened, nnodes);
  const segmentBytes = stripes?.segmentBytes ?? opened.plan.segments.map(({ nbytes }) => nbytes);
  const offer = offerOf(segmentBytes, stripes ? nodes : [0], nodes);
  const plan = planBroadcast(offer);
  return {
    owners: stripes
      ? nodes.map((nodeRank) => ({ nodeRank, bytes: ownBytes(stripes, plan, nodeRank) }))
      : [{ nodeRank: 0, bytes: readBytes }],
    reader: stripes ? null : 0,
    broadcast: {
      shape: plan.shape,
      chunkBytes: offer.chunkBytes,
      chunks: plan.layout.count,
      connections: plan.connections,
      pullsFrom: nodes.map((nodeRank) => plan.node(nodeRank).sources[0] ?? null),
    },
  };
}

/** Says it in a line. */
export function describeNodes({ owners, reader, broadcast }: NodesPlan): string {
  const bytes = owners.map((each) => each.bytes);
  const [least, most] = [Math.min(...bytes), Math.max(...bytes)];
  const each = least === most ? `${most}` : `${least} to ${most}`;
  if (broadcast === null)
    return reader === null ? `each of ${owners.length} nodes reads ${each} bytes for itself` : `node 0 reads ${each} bytes`;
  const { shape, chunkBytes, chunks, connections, pullsFrom } = broadcast;
  const who = reader === null ? `each of ${owners.length} nodes reads ${each} bytes` : `node ${reader} reads ${each} bytes`;
  const links = connections === 1 ? "" : `, ${connections} connections per link`;
  return `${who}; a ${shape} of ${pullsFrom.length} nodes carries ${chunks} chunks of up to ${chunkBytes} bytes${links}`;
}

function offerOf(segmentBytes: readonly number[], owners: readonly number[], nodes: readonly number[]): BroadcastOffer {
  const totalBytes = segmentBytes.reduce((sum, each) => sum + each, 0);
  const connections = chooseConnections({ totalBytes, nodeCount: nodes.length, oneMachine: false, hop: DEFAULT_HOP });
  return {
    id: { jobId: "plan", epoch: 0, sequence: 0 },
    segmentBytes,
    chunkBytes: chooseChunkBytes(totalBytes, nodes.length, connections),
    owners,
    nodes: nodes.map((nodeRank) => ({ nodeRank, address: "" })),
    connections,
  };
}

function ownBytes(stripes: StripePlan, { layout, node }: ReturnType<typeof planBroadcast>, nodeRank: number): number {
  const { own } = node(nodeRank);
  let sum = 0;
  for (let index = 0; index < layout.count; index += 1) {
    if (!own.has(index)) continue;
    const { segment, offset, length } = layout.chunk(index);
    sum += stripes.neededBytes(segment, offset, length);
  }
  return sum;
}
