/**
 * Slurm. Its variables count only inside a step started by srun: the batch script has SLURM_PROCID=0 and SLURM_NTASKS=n too, but
 * runs once, and a shell under salloc has SLURM_NTASKS without being a task (recorded with Slurm 22.05.8).
 */
import type { LauncherSighting, ProcessVariables } from "../detected-rank.ts";
import { type Claim, type Claims, contradiction } from "../rank-identity.ts";
import { claimOf, requireVariables, textOf } from "../read-variable.ts";
import { expandHostList, expandTaskCounts } from "../slurm-lists.ts";

/** Step ids from here on are no srun steps: pending, extern, batch and interactive steps (SLURM_MAX_NORMAL_STEP_ID of slurm.h). */
const STEP_ID_END = 0xfffffff0;

/** True inside a step that srun started. */
export function isSlurmStep(env: ProcessVariables): boolean {
  const step = textOf(env, "SLURM_STEP_ID");
  return step !== undefined && /^\d+$/.test(step) && Number(step) < STEP_ID_END;
}

/**
 * Sees an srun step.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when its variables are incomplete or contradict each other.
 */
export function seeSlurm(env: ProcessVariables): LauncherSighting | null {
  if (!isSlurmStep(env)) return null;
  requireVariables(env, "SLURM_STEP_ID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID");
  const nodeRank = claimOf(env, "SLURM_NODEID");
  // The step's own counts first: SLURM_NTASKS of a step inside a larger allocation was the allocation's in old versions.
  const claims: Claims = {
    rank: claimOf(env, "SLURM_PROCID"),
    localRank: claimOf(env, "SLURM_LOCALID"),
    nodeRank,
    worldSize: claimOf(env, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    nodeCount: claimOf(env, "SLURM_STEP_NUM_NODES", "SLURM_NNODES"),
  };
  const nodeList = textOf(env, "SLURM_STEP_NODELIST");
  const first = nodeList === undefined ? undefined : expandHostList(nodeList, "SLURM_STEP_NODELIST")[0];
  const nodeName = textOf(env, "SLURMD_NODENAME");
  const jobId = textOf(env, "SLURM_JOB_ID");
  return {
    launcher: "slurm",
    claims: { ...claims, localWorldSize: tasksOfNode(env, claims) },
    head: first === undefined ? null : { host: first, port: null, occupied: false },
    jobId: jobId === undefined ? null : `${jobId}.${textOf(env, "SLURM_STEP_ID")}`,
    restartCount: claimOf(env, "SLURM_RESTART_COUNT")?.value ?? 0,
    ...(nodeName === undefined ? {} : { nodeName }),
    // Several slurmd of one machine share host name and boot id; the step's node number does not.
    nodeKey: `slurm ${jobId} ${nodeRank?.value}`,
  };
}

/** This node's entry of SLURM_STEP_TASKS_PER_NODE, which may be uneven, after checking that the list agrees with the other counts. */
function tasksOfNode(env: ProcessVariables, { worldSize, nodeRank, nodeCount }: Claims): Claim | undefined {
  const variable = "SLURM_STEP_TASKS_PER_NODE";
  const text = textOf(env, variable);
  if (text === undefined) return undefined;
  const counts = expandTaskCounts(text, variable);
  const sum = counts.reduce((total, count) => total + count, 0);
  const tasks: Claim = { value: sum, variable };
  if (nodeCount !== undefined && counts.length !== nodeCount.value) {
    throw contradiction({ nodeCount, worldSize: { value: counts.length, variable } }, `${variable} lists another number of nodes`);
  }
  if (worldSize !== undefined && sum !== worldSize.value) {
    throw contradiction({ worldSize, localWorldSize: tasks }, `the tasks of ${variable} do not add up to the world size`);
  }
  const own = nodeRank === undefined ? undefined : counts[nodeRank.value];
  return own === undefined ? undefined : { value: own, variable };
}
