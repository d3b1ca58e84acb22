/** The coordinator of one node of several, as `startCoordinator` makes it: the head, or a relay to it. */
import { setTimeout } from "node:timers/promises";
import { DistributionError } from "@rankcast/core";
import {
  asCheckpointError,
  type Membership,
  MemoryMeter,
  type ProcessVariables,
  readEnvironment,
  toErrorRecord,
} from "@rankcast/core/runtime";
import type { JobEpoch } from "./cluster/job-node.ts";
import { Lobby } from "./cluster/lobby.ts";
import { openJobNode } from "./cluster/open-job-node.ts";
import type { CompiledCoordinatorOptions, NodePlace } from "./coordinator-options.ts";
import type { FetchWeights } from "./fetch/fetch-weights.ts";
import { readLinkConnections } from "./link/read-link-connections.ts";
import { HEARTBEAT_MS } from "./many-node-coordination.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import type { CoordinatedNode, RankHost } from "./rank-host.ts";

/** How to coordinate. */
export interface CoordinateNodesOptions {
  readonly compiled: CompiledCoordinatorOptions;
  readonly place: NodePlace;
  readonly variables: ProcessVariables;
  readonly joinTimeoutMs: number;
  readonly silenceMs: number;
  readonly barrierTimeoutMs: number;
  readonly fetch: FetchWeights;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

/**
 * Finds the head, or is it. The nodes come together afterwards: ranks that come before wait.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the head cannot be bound, or reached in time; RANKCAST_TOKEN_REFUSED, RANKCAST_WRONG_JOB;
 * {UsageError} RANKCAST_UNPROTECTED.
 */
export async function coordinateNodes(options: CoordinateNodesOptions): Promise<RankHost> {
  const { compiled, joinTimeoutMs } = options;
  const node = await openJobNode(nodeOptionsOf(options));
  const lobby = new Lobby({ localWorldSize: compiled.localWorldSize, full: null });
  let epoch: JobEpoch | null = null;
  const joined = node
    .join(compiled.epoch)
    .then((begun) => {
      epoch = begun;
      const nodes = nodesOf(begun.membership, compiled.worldSize);
      lobby.open(begun.ranks);
      return nodes;
    })
    .catch((error: unknown) => {
      lobby.refuse(toErrorRecord(asCheckpointError(error)));
      throw error;
    });
  // The ranks are told, too: nobody has to look.
  joined.catch(() => undefined);
  return {
    ranks: lobby,
    endpoint: node.headAddress,
    joined,
    async settled() {
      // One whose ranks are still there, or never came, does not end well: the others are told so by its going.
      if (epoch === null || !lobby.isOver) return;
      const stop = new AbortController();
      await Promise.race([node.confirm(), setTimeout(joinTimeoutMs, undefined, { signal: stop.signal }).catch(() => undefined)]);
      stop.abort();
    },
    end: () => epoch?.close(),
    leave: () => node.close(),
  };
}

/** @throws {DistributionError} RANKCAST_TOPOLOGY when the nodes have brought more or fewer ranks than the job has: all of them say the same. */
function nodesOf({ nodes, topology }: Membership, worldSize: number): CoordinatedNode[] {
  if (topology.worldSize === worldSize) return nodes.map(({ nodeRank, host, ranks }) => ({ nodeRank, host, ranks }));
  const brought = nodes.map(({ ranks }) => ranks.length);
  throw new DistributionError("RANKCAST_TOPOLOGY", `the nodes have brought ${brought.join(" + ")} ranks for a job of ${worldSize}`, {
    details: { expected: worldSize, found: topology.worldSize, localWorldSizes: brought },
  });
}

function nodeOptionsOf(options: CoordinateNodesOptions): Parameters<typeof openJobNode>[0] {
  const { compiled, place, variables, joinTimeoutMs, silenceMs, barrierTimeoutMs, fetch, onEvent } = options;
  const { key, endpoint, nodeCount, nodeRank } = place;
  return {
    key,
    endpoint,
    isHead: nodeRank === 0 ? "yes" : "no",
    meeting: ["coordinator", key.jobId, endpoint?.port ?? 0],
    runtimeDirectory: variables["XDG_RUNTIME_DIR"] || undefined,
    nodeCount,
    worldSize: compiled.worldSize,
    nodeRank,
    localWorldSize: compiled.localWorldSize,
    ranks: null,
    // Whoever started this one starts the next.
    maxRestarts: 0,
    firstEpoch: compiled.epoch,
    joinTimeoutMs,
    silenceMs,
    heartbeatMs: Math.min(HEARTBEAT_MS, silenceMs / 4),
    barrierTimeoutMs,
    noMmap: readEnvironment(variables).noMmap,
    linkConnections: readLinkConnections(variables),
    fetch,
    memory: new MemoryMeter(),
    onEvent,
  };
}
