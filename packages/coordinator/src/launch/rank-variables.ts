/** The variables every rank gets: torchrun's (`torch/distributed/elastic/agent/server/local_elastic_agent.py`), and ours beside them. */
import type { CompiledLaunchOptions } from "./launch-options.ts";

/** Where this node's ranks are in the job, and which attempt it is. */
export interface AttemptPlacement {
  readonly attempt: number;
  readonly epoch: number;
  readonly runId: string;
  readonly nodeRank: number;
  /** Ranks of every node, in node order. */
  readonly localWorldSizes: readonly number[];
  readonly masterAddr: string;
  readonly masterPort: number;
}

/** Descriptor of the pipe that tells a rank whether the launcher lives. */
export const GUARD_DESCRIPTOR = 3;

/** Rank of this node's first process. */
export function firstRankOf({ localWorldSizes, nodeRank }: AttemptPlacement): number {
  return localWorldSizes.slice(0, nodeRank).reduce((sum, size) => sum + size, 0);
}

/** All ranks of the job. */
export function worldSizeOf({ localWorldSizes }: AttemptPlacement): number {
  return localWorldSizes.reduce((sum, size) => sum + size, 0);
}

/** The variables of one rank. Secrets are not among them: they travel in files. */
export function rankVariables(
  options: CompiledLaunchOptions,
  placement: AttemptPlacement,
  localRank: number,
  errorFile: string,
): Record<string, string> {
  const { attempt, epoch, runId, nodeRank, localWorldSizes, masterAddr, masterPort } = placement;
  const rank = String(firstRankOf(placement) + localRank);
  const worldSize = String(worldSizeOf(placement));
  const localWorldSize = String(localWorldSizes[nodeRank] ?? options.nprocPerNode);
  const nodeCount = String(localWorldSizes.length);
  return {
    RANK: rank,
    LOCAL_RANK: String(localRank),
    GROUP_RANK: String(nodeRank),
    WORLD_SIZE: worldSize,
    LOCAL_WORLD_SIZE: localWorldSize,
    GROUP_WORLD_SIZE: nodeCount,
    ROLE_NAME: options.role,
    ROLE_RANK: rank,
    ROLE_WORLD_SIZE: worldSize,
    MASTER_ADDR: masterAddr,
    MASTER_PORT: String(masterPort),
    TORCHELASTIC_RESTART_COUNT: String(attempt),
    TORCHELASTIC_MAX_RESTARTS: String(options.maxRestarts),
    TORCHELASTIC_RUN_ID: runId,
    // Nobody listens on MASTER_PORT: torch's rank 0 may bind it.
    TORCHELASTIC_USE_AGENT_STORE: "False",
    TORCHELASTIC_ERROR_FILE: errorFile,
    RANKCAST_RANK: rank,
    RANKCAST_LOCAL_RANK: String(localRank),
    RANKCAST_NODE_RANK: String(nodeRank),
    RANKCAST_WORLD_SIZE: worldSize,
    RANKCAST_LOCAL_WORLD_SIZE: localWorldSize,
    RANKCAST_NODE_COUNT: nodeCount,
    RANKCAST_JOB_ID: runId,
    RANKCAST_EPOCH: String(epoch),
    RANKCAST_NODE_TIMEOUT: String(options.nodeTimeoutMs / 1000),
    RANKCAST_GUARD_FD: String(GUARD_DESCRIPTOR),
  };
}
