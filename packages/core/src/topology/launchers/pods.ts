/**
 * Pods: Kubeflow TrainJobs (PET_* variables) and Kubernetes Indexed Jobs. Both start one process per pod, so a process that finds
 * itself there without a launcher is its node's only rank.
 */
import { UsageError } from "../../errors/checkpoint-error.ts";
import { quote } from "../../errors/quote.ts";
import type { HeadAddress, LauncherSighting, ProcessVariables } from "../detected-rank.ts";
import type { HostFacts } from "../host-facts.ts";
import type { Claim } from "../rank-identity.ts";
import { addressOf, claimOf, textOf } from "../read-variable.ts";

/**
 * Sees PET_NNODES or PET_NODE_RANK: inputs meant for torchrun, in a process that torchrun did not start.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES for an elastic node count, or when PET_NPROC_PER_NODE asks for several processes in this pod.
 */
export function seePet(env: ProcessVariables, facts: HostFacts): LauncherSighting | null {
  if (textOf(env, "PET_NNODES") === undefined && textOf(env, "PET_NODE_RANK") === undefined) return null;
  const nodeCount = petNodeCount(env);
  const nodeRank = claimOf(env, "PET_NODE_RANK") ?? { value: 0, variable: "PET_NODE_RANK" };
  const processes = petProcessCount(env, facts);
  if (processes !== 1) {
    throw new UsageError(
      "RANKCAST_RANK_VARIABLES",
      `PET_NPROC_PER_NODE asks for ${processes} ranks per node, but this process was started once and without a launcher`,
      {
        details: { variables: ["PET_NPROC_PER_NODE"], found: processes },
        remedy: "Start the script with `rankcast run` or torchrun; both read these variables.",
      },
    );
  }
  const head = addressOf(env, "PET_MASTER_ADDR", "PET_MASTER_PORT");
  return {
    launcher: "pet",
    claims: { ...podClaims(nodeRank, nodeCount), localWorldSize: { value: 1, variable: "PET_NPROC_PER_NODE" } },
    head: head && { ...head, occupied: false },
    jobId: textOf(env, "PET_RDZV_ID") ?? null,
  };
}

/**
 * Sees JOB_COMPLETION_INDEX together with RANKCAST_NODE_COUNT. The index alone is no sign of a distributed job: array jobs have it too.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when one is no number.
 */
export function seeKubernetes(env: ProcessVariables, facts: HostFacts): LauncherSighting | null {
  const nodeRank = claimOf(env, "JOB_COMPLETION_INDEX");
  const nodeCount = claimOf(env, "RANKCAST_NODE_COUNT");
  if (nodeRank === undefined || nodeCount === undefined) return null;
  return {
    launcher: "kubernetes",
    claims: { ...podClaims(nodeRank, nodeCount), localWorldSize: { value: 1, variable: "JOB_COMPLETION_INDEX" } },
    head: headOfPods(facts.hostname, nodeRank.value),
  };
}

/**
 * Pods of an Indexed Job are called `<job>-<index>` and share a headless Service, so index 0 is this pod's name with the index replaced;
 * null when the name looks otherwise.
 */
export function headOfPods(hostname: string, index: number): HeadAddress | null {
  const [name = "", ...domain] = hostname.split(".");
  const ending = `-${index}`;
  if (!name.endsWith(ending)) return null;
  return { host: [`${name.slice(0, -ending.length)}-0`, ...domain].join("."), port: null, occupied: false };
}

function podClaims(nodeRank: Claim, nodeCount: Claim) {
  return { rank: nodeRank, localRank: { value: 0, variable: nodeRank.variable }, nodeRank, worldSize: nodeCount, nodeCount };
}

function petNodeCount(env: ProcessVariables): Claim {
  const text = textOf(env, "PET_NNODES") ?? "1";
  const match = /^(\d{1,6})(?::(\d{1,6}))?$/.exec(text);
  const [, least, most = least] = match ?? [];
  if (least === undefined || Number(least) !== Number(most)) {
    throw new UsageError("RANKCAST_RANK_VARIABLES", `PET_NNODES: expected one number of nodes, found ${quote(text)}`, {
      details: { variables: ["PET_NNODES"], found: text.slice(0, 200) },
      remedy: "Give a fixed number of nodes; a range (elastic job) is not supported.",
    });
  }
  return { value: Number(least), variable: "PET_NNODES" };
}

function petProcessCount(env: ProcessVariables, facts: HostFacts): number {
  const text = textOf(env, "PET_NPROC_PER_NODE") ?? "1";
  if (text === "auto") return facts.acceleratorCount > 0 ? facts.acceleratorCount : facts.cpuCount;
  if (text === "cpu") return facts.cpuCount;
  if (text === "gpu") return facts.acceleratorCount;
  return claimOf(env, "PET_NPROC_PER_NODE")?.value ?? 1;
}
