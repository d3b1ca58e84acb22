/** Our own variables; also the way to say the identity by hand under a launcher nobody knows. */
import type { LauncherSighting, ProcessVariables } from "../detected-rank.ts";
import { addressOf, claimOf, requireVariables, textOf } from "../read-variable.ts";

/** Variables that make this process a rank. RANKCAST_NODE_COUNT alone does not: it tells a Kubernetes pod how many there are. */
const OWN = ["RANKCAST_RANK", "RANKCAST_WORLD_SIZE", "RANKCAST_LOCAL_RANK", "RANKCAST_LOCAL_WORLD_SIZE", "RANKCAST_NODE_RANK"];

/**
 * Sees RANKCAST_RANK and its companions.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when only some are set.
 */
export function seeRankcast(env: ProcessVariables): LauncherSighting | null {
  const seen = OWN.find((variable) => textOf(env, variable) !== undefined);
  if (seen === undefined) return null;
  requireVariables(env, seen, "RANKCAST_RANK", "RANKCAST_WORLD_SIZE");
  const worldSize = claimOf(env, "RANKCAST_WORLD_SIZE");
  if (worldSize?.value !== 1) requireVariables(env, seen, "RANKCAST_LOCAL_RANK", "RANKCAST_LOCAL_WORLD_SIZE");
  const head = addressOf(env, "MASTER_ADDR", "MASTER_PORT");
  return {
    launcher: "rankcast",
    claims: {
      rank: claimOf(env, "RANKCAST_RANK"),
      localRank: claimOf(env, "RANKCAST_LOCAL_RANK"),
      nodeRank: claimOf(env, "RANKCAST_NODE_RANK"),
      worldSize,
      localWorldSize: claimOf(env, "RANKCAST_LOCAL_WORLD_SIZE"),
      nodeCount: claimOf(env, "RANKCAST_NODE_COUNT"),
    },
    head: head && { ...head, occupied: false },
    jobId: textOf(env, "RANKCAST_JOB_ID") ?? null,
    restartCount: claimOf(env, "TORCHELASTIC_RESTART_COUNT")?.value ?? 0,
  };
}
