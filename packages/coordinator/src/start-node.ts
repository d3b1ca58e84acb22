/** The coordinator of one node of a job that no launcher of ours started: it finds the head, or is it, once its ranks have come. */
import {
  asCheckpointError,
  MemoryMeter,
  nativeMemory,
  type ProcessVariables,
  readEnvironment,
  toErrorRecord,
} from "@rankcast/core/runtime";
import type { JobEpoch, JobNode } from "./cluster/job-node.ts";
import { Lobby } from "./cluster/lobby.ts";
import { type Endpoint, openJobNode } from "./cluster/open-job-node.ts";
import { fetchAndCast } from "./fetch/cast-weights.ts";
import { fetchWeights } from "./fetch/fetch-weights.ts";
import { startCoordinationServer } from "./grpc/coordination-server.ts";
import { readLinkConnections } from "./link/read-link-connections.ts";
import { readLinkKey } from "./link/read-link-key.ts";
import { HEARTBEAT_MS } from "./many-node-coordination.ts";
import { RankWatch } from "./node/rank-watch.ts";
import { BARRIER_TIMEOUT_MS } from "./start-coordinator.ts";

/** What such a node is told. Plain data. */
export interface NodeOptions {
  /** For the ranks of this node, `unix:/path`. */
  readonly address: string;
  /** Of this node's ranks; other nodes have another one. */
  readonly token: string;
  readonly jobId: string;
  readonly epoch: number;
  readonly localWorldSize: number;
  readonly worldSize: number;
  /** Null where the launcher does not tell. */
  readonly nodeCount: number | null;
  readonly nodeRank: number | null;
  readonly isHead: boolean;
  /** Null: all nodes are on this machine. */
  readonly endpoint: Endpoint | null;
  /** Where the job's secrets are. */
  readonly variables: ProcessVariables;
  readonly joinTimeoutMs: number;
  readonly nodeTimeoutMs: number;
}

/** A node that listens for its ranks. */
export interface StartedNode {
  /** Waits until this node's ranks have left and, on the head, until the job is over; then leaves. */
  close(): Promise<void>;
}

/**
 * Starts it.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when `address` cannot be bound. What goes wrong later, the ranks are told.
 */
export async function startNode(options: NodeOptions): Promise<StartedNode> {
  let node: JobNode | null = null;
  let epoch: JobEpoch | null = null;
  let settled: Promise<void> = Promise.resolve();
  const begin = async (ranks: readonly number[]): Promise<void> => {
    try {
      node = await openJobNode(nodeOptionsOf(options, ranks));
      epoch = await node.join(options.epoch);
      lobby.open(epoch.ranks);
    } catch (error) {
      lobby.refuse(toErrorRecord(asCheckpointError(error)));
    }
  };
  const lobby = new Lobby({
    localWorldSize: options.localWorldSize,
    full: {
      joinTimeoutMs: options.joinTimeoutMs,
      onFull: (ranks) => {
        settled = begin(ranks);
      },
    },
  });
  const watch = new RankWatch(lobby, { silenceMs: options.nodeTimeoutMs });
  const server = await startCoordinationServer(options.address, options.token, watch, { nodeRank: options.nodeRank ?? undefined });
  return {
    async close() {
      await lobby.empty();
      watch.close();
      await settled;
      if (epoch) await node?.confirm();
      epoch?.close();
      await server.close();
      await node?.close();
    },
  };
}

function nodeOptionsOf(options: NodeOptions, ranks: readonly number[]): Parameters<typeof openJobNode>[0] {
  const { jobId, epoch, variables, nodeCount, worldSize, nodeRank, localWorldSize, joinTimeoutMs, nodeTimeoutMs, endpoint } = options;
  const { noMmap } = readEnvironment(variables);
  nativeMemory(noMmap);
  return {
    key: readLinkKey(variables, jobId),
    endpoint,
    isHead: options.isHead ? "yes" : "no",
    meeting: ["ranks", jobId, epoch],
    runtimeDirectory: variables["XDG_RUNTIME_DIR"] || undefined,
    nodeCount,
    worldSize,
    nodeRank,
    localWorldSize,
    ranks,
    // The launcher below restarts the job, with another epoch.
    maxRestarts: 0,
    firstEpoch: epoch,
    joinTimeoutMs,
    silenceMs: nodeTimeoutMs,
    heartbeatMs: Math.min(HEARTBEAT_MS, nodeTimeoutMs / 4),
    barrierTimeoutMs: BARRIER_TIMEOUT_MS,
    noMmap,
    linkConnections: readLinkConnections(variables),
    fetch: fetchAndCast(fetchWeights),
    memory: new MemoryMeter(),
  };
}
