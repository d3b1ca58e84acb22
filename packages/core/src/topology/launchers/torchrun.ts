/** torchrun and everything that speaks its contract (torch.distributed.launch --use_env, accelerate, deepspeed). */
import type { LauncherSighting, ProcessVariables } from "../detected-rank.ts";
import type { Claims } from "../rank-identity.ts";
import { addressOf, claimOf, textOf } from "../read-variable.ts";

/** The three that torch's own `env://` users read; only all of them together make a rank. */
const REQUIRED = ["RANK", "WORLD_SIZE", "LOCAL_RANK"];

/**
 * Sees RANK, WORLD_SIZE and LOCAL_RANK, all set. Some of them alone are no identity; `detectRank` compares those with what another
 * launcher says.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when one is no number.
 */
export function seeTorchrun(env: ProcessVariables): LauncherSighting | null {
  if (REQUIRED.some((variable) => textOf(env, variable) === undefined)) return null;
  const head = addressOf(env, "MASTER_ADDR", "MASTER_PORT");
  const runId = textOf(env, "TORCHELASTIC_RUN_ID");
  return {
    launcher: "torchrun",
    claims: withNodes({
      rank: claimOf(env, "RANK"),
      localRank: claimOf(env, "LOCAL_RANK"),
      nodeRank: claimOf(env, "GROUP_RANK", "NODE_RANK"),
      worldSize: claimOf(env, "WORLD_SIZE"),
      localWorldSize: claimOf(env, "LOCAL_WORLD_SIZE"),
      nodeCount: claimOf(env, "GROUP_WORLD_SIZE"),
    }),
    // With an agent store torchrun itself listens on MASTER_PORT (torch/distributed/elastic/agent/server/local_elastic_agent.py).
    head: head && { ...head, occupied: env["TORCHELASTIC_USE_AGENT_STORE"] === "True" },
    // "none" is torchrun's default for --rdzv-id: every job that did not choose one has it.
    jobId: runId === undefined || runId === "none" ? null : runId,
    restartCount: claimOf(env, "TORCHELASTIC_RESTART_COUNT")?.value ?? 0,
  };
}

/** torchrun gives every node the same number of ranks, in node order, so nodes follow from ranks when a launcher leaves them out. */
function withNodes(claims: Claims): Claims {
  const { rank, localRank, worldSize, localWorldSize } = claims;
  if (rank === undefined || localRank === undefined || worldSize === undefined || localWorldSize === undefined) return claims;
  const nodeRank = (rank.value - localRank.value) / localWorldSize.value;
  const nodeCount = worldSize.value / localWorldSize.value;
  if (!Number.isInteger(nodeRank) || !Number.isInteger(nodeCount) || nodeRank < 0) return claims;
  return {
    ...claims,
    nodeRank: claims.nodeRank ?? { value: nodeRank, variable: rank.variable },
    nodeCount: claims.nodeCount ?? { value: nodeCount, variable: localWorldSize.variable },
  };
}
