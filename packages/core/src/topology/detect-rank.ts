/** Finds out which rank this process is, from the variables of whoever started it. */
import { UsageError } from "../errors/checkpoint-error.ts";
import type { DetectedRank, LauncherSighting, ProcessVariables } from "./detected-rank.ts";
import type { HostFacts } from "./host-facts.ts";
import { seeMpich, seeOpenMpi } from "./launchers/mpi.ts";
import { seeKubernetes, seePet } from "./launchers/pods.ts";
import { seeRankcast } from "./launchers/rankcast.ts";
import { isSlurmStep, seeSlurm } from "./launchers/slurm.ts";
import { seeTorchrun } from "./launchers/torchrun.ts";
import { type Claims, contradiction, isSettled, type RankIdentity, settleClaims, type UnsettledIdentity } from "./rank-identity.ts";
import { claimOf, textOf } from "./read-variable.ts";

/** Most specific first: a launcher that runs inside another one (torchrun under srun) is the one that made this process. */
const DETECTORS: readonly ((env: ProcessVariables, facts: HostFacts) => LauncherSighting | null)[] = [
  seeRankcast,
  seeTorchrun,
  seeSlurm,
  seeOpenMpi,
  seeMpich,
  seePet,
  seeKubernetes,
];

const SINGLE: LauncherSighting = { launcher: "single", claims: { worldSize: { value: 1, variable: "no launcher" } } };

/** Variables of torch's contract that users also set by hand; those that are set must agree with what was detected. */
const TORCH_VARIABLES = { rank: "RANK", worldSize: "WORLD_SIZE", localRank: "LOCAL_RANK", localWorldSize: "LOCAL_WORLD_SIZE" } as const;

/**
 * This process's rank. Pure: the same environment and facts give the same answer.
 *
 * Precedence: RANKCAST_*, torchrun, Slurm step, Open MPI, MPICH, PET_*, JOB_COMPLETION_INDEX, else a world of one.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when variables are half set, malformed, or contradict each other; it names them.
 */
export function detectRank(env: ProcessVariables, facts: HostFacts): DetectedRank {
  const sighting = completeFromSlurm(env, firstSighting(env, facts));
  const identity = settleClaims(sighting.claims);
  if (sighting.launcher !== "rankcast" && sighting.launcher !== "torchrun") compareWithTorch(env, sighting, identity);
  return {
    launcher: sighting.launcher,
    identity,
    head: sighting.head ?? null,
    jobId: sighting.jobId ?? null,
    restartCount: sighting.restartCount ?? 0,
    nodeName: sighting.nodeName ?? facts.hostname,
    nodeKey: sighting.nodeKey ?? nodeKeyOf(facts, sighting, identity),
    notes: notesOn(env, sighting),
  };
}

/**
 * The identity, when this process alone knows all of it.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES naming the variables that would settle the rest.
 */
export function requireIdentity({ identity, launcher }: DetectedRank): RankIdentity {
  if (isSettled(identity)) return identity;
  const variables = identity.localWorldSize === null ? ["LOCAL_WORLD_SIZE"] : ["RANKCAST_NODE_RANK", "RANKCAST_NODE_COUNT"];
  throw new UsageError(
    "RANKCAST_RANK_VARIABLES",
    `${launcher} does not say where rank ${identity.rank} of ${identity.worldSize} is: ${variables.join(" and ")} would`,
    { details: { variables }, remedy: `Set ${variables.join(" and ")} for every rank.` },
  );
}

/** The node number belongs to the key: two agents of one machine (a test, a split machine) are two nodes with one boot id and network. */
function nodeKeyOf(facts: HostFacts, { nodeName }: LauncherSighting, { nodeRank }: UnsettledIdentity): string {
  return [facts.nodeKey, nodeName, nodeRank].filter((part) => part !== undefined && part !== null).join(" ");
}

function firstSighting(env: ProcessVariables, facts: HostFacts): LauncherSighting {
  for (const see of DETECTORS) {
    const sighting = see(env, facts);
    if (sighting !== null) return sighting;
  }
  return SINGLE;
}

/** Scripts under srun export RANK, WORLD_SIZE and LOCAL_RANK for torch and leave the rest to Slurm; it fills the gaps if it means the same rank. */
function completeFromSlurm(env: ProcessVariables, sighting: LauncherSighting): LauncherSighting {
  if (sighting.launcher !== "torchrun" || sighting.claims.localWorldSize !== undefined || !isSlurmStep(env)) return sighting;
  const slurm = seeSlurm(env);
  if (slurm === null) return sighting;
  const same = (["rank", "worldSize", "localRank"] as const).every((field) => slurm.claims[field]?.value === sighting.claims[field]?.value);
  if (!same) return sighting;
  const { nodeRank, localWorldSize, nodeCount } = slurm.claims;
  return {
    ...slurm,
    launcher: "torchrun",
    claims: { ...sighting.claims, nodeRank, localWorldSize, nodeCount },
    head: sighting.head ?? slurm.head ?? null,
    jobId: sighting.jobId ?? slurm.jobId ?? null,
  };
}

/** A RANK or WORLD_SIZE that says something else than the launcher is a job started the wrong way, not a rank to guess. */
function compareWithTorch(env: ProcessVariables, { launcher, claims }: LauncherSighting, identity: UnsettledIdentity): void {
  for (const [field, variable] of Object.entries(TORCH_VARIABLES) as [keyof typeof TORCH_VARIABLES, string][]) {
    const claim = claimOf(env, variable);
    const detected = identity[field];
    if (claim === undefined || detected === null || claim.value === detected) continue;
    if (launcher === "single") throw halfSet(env, variable);
    const other: Claims = { [field]: claims[field] ?? { value: detected, variable: launcher } };
    throw contradiction(
      { ...other, [field === "rank" ? "worldSize" : "rank"]: claim },
      `${launcher} and ${variable} name different values`,
    );
  }
}

function halfSet(env: ProcessVariables, seen: string): UsageError {
  const missing = ["RANK", "WORLD_SIZE", "LOCAL_RANK"].filter((variable) => textOf(env, variable) === undefined);
  return new UsageError(
    "RANKCAST_RANK_VARIABLES",
    `${seen} is ${textOf(env, seen)}, but ${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} not set`,
    {
      details: { variables: [seen, ...missing] },
      remedy: `Set ${missing.join(" and ")} too (one process per node: LOCAL_RANK=0 and LOCAL_WORLD_SIZE=1), or unset ${seen}.`,
    },
  );
}

function notesOn(env: ProcessVariables, { launcher, nodeKey }: LauncherSighting): string[] {
  const notes: string[] = [];
  if (launcher === "single" && textOf(env, "SLURM_JOB_ID") !== undefined && !isSlurmStep(env)) {
    notes.push(
      "SLURM_* variables are ignored: SLURM_STEP_ID names no srun step, so this process is not one of the job's tasks (start it with srun)",
    );
  }
  if (launcher === "slurm" && textOf(env, "SLURM_PTY_PORT") !== undefined) {
    notes.push(
      "SLURM_PTY_PORT is set: in an interactive shell of `srun --pty` this process is not a task; unset SLURM_STEP_ID to be a world of one",
    );
  }
  if (launcher === "single" && textOf(env, "JOB_COMPLETION_INDEX") !== undefined) {
    notes.push("JOB_COMPLETION_INDEX is ignored: set RANKCAST_NODE_COUNT to the number of pods if they are one job");
  }
  if (launcher === "torchrun" && nodeKey === undefined && isSlurmStep(env))
    notes.push("torchrun's variables win over those of the Slurm step around it");
  return notes;
}
