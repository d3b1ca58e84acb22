/** The door of a rank: finds out who it is and who coordinates it, and joins. */
import { randomUUID } from "node:crypto";
import { DistributionError } from "@rankcast/core";
import { detectRank, nativeMemory, type RankIdentity, readHostFacts, requireIdentity } from "@rankcast/core/runtime";
import { readRankEnvironment } from "../environment/environment.ts";
import { type Hello, PROTOCOL_VERSION } from "../grpc/coordinator-channel.ts";
import { RankSession } from "../session/rank-session.ts";
import { type CoordinatorAddress, meetCoordinator, readToken } from "./find-coordinator.ts";
import { RankGroup } from "./rank-group.ts";

/** How to join. Everything has a sensible default under a launcher. */
export interface JoinGroupOptions {
  /** Variables to read instead of the process's own. */
  readonly environment?: { readonly [name: string]: string | undefined };
  /** Address of the node's coordinator; default `RANKCAST_COORDINATOR`, else one is started by local rank 0. */
  readonly coordinator?: string;
  /** The job's token; default the content of `RANKCAST_TOKEN_FILE`. */
  readonly token?: string;
  /** How long to wait for the node's coordinator to appear. Default 60 000: ranks of one node start together, but imports may be slow. */
  readonly timeoutMs?: number;
}

const JOIN_TIMEOUT_MS = 60_000;

/**
 * Joins this process's job: torchrun, rankcast, Slurm, Open MPI and Kubernetes variables are recognised; without any it is a world of one.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when the variables contradict each other.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE, RANKCAST_TOKEN_REFUSED, RANKCAST_DUPLICATE_RANK, RANKCAST_UNSUPPORTED (several nodes).
 */
export async function joinGroup(options: JoinGroupOptions = {}): Promise<RankGroup> {
  const environment = readRankEnvironment(options.environment);
  // Opening the kernel door takes longer than mapping a gigabyte: it belongs to start-up, not to the first load.
  nativeMemory(environment.noMmap);
  const facts = readHostFacts();
  const detected = detectRank(environment.variables, facts);
  const identity = requireIdentity(detected);
  if (identity.nodeCount > 1) {
    throw new DistributionError(
      "RANKCAST_UNSUPPORTED",
      `the job has ${identity.nodeCount} nodes; this version coordinates the ranks of one node`,
      {
        details: { nodeCount: identity.nodeCount },
        remedy: "Run one job per node.",
      },
    );
  }
  // Without a job id only this user's ranks of this directory could be meant; the parent process tells two such jobs apart.
  const jobId = detected.jobId ?? (identity.worldSize === 1 ? randomUUID() : `parent-${process.ppid}`);
  const epoch = detected.restartCount;
  const coordinator = await findCoordinator(options, environment, { identity, jobId, epoch, nodeKey: detected.nodeKey });
  const hello: Hello = {
    type: "hello",
    protocol: PROTOCOL_VERSION,
    jobId,
    epoch,
    rank: identity.rank,
    localRank: identity.localRank,
    nodeRank: identity.nodeRank,
    worldSize: identity.worldSize,
    localWorldSize: identity.localWorldSize,
    incarnation: randomUUID(),
    pid: process.pid,
    host: facts.hostname,
  };
  try {
    const session = await RankSession.open(coordinator.address, coordinator.token, hello);
    return new RankGroup({ session, identity, thread: coordinator.thread, noMmap: environment.noMmap });
  } catch (error) {
    await coordinator.thread?.close();
    throw error;
  }
}

async function findCoordinator(
  options: JoinGroupOptions,
  environment: ReturnType<typeof readRankEnvironment>,
  job: { readonly identity: RankIdentity; readonly jobId: string; readonly epoch: number; readonly nodeKey: string },
): Promise<CoordinatorAddress> {
  const address = options.coordinator ?? environment.coordinator;
  if (address !== undefined) {
    const token = options.token ?? (environment.tokenFile === undefined ? "" : readToken(environment.tokenFile));
    return { address, token, thread: null };
  }
  return meetCoordinator({
    jobId: job.jobId,
    epoch: job.epoch,
    localRank: job.identity.localRank,
    localWorldSize: job.identity.localWorldSize,
    nodeKey: job.nodeKey,
    runtimeDirectory: environment.runtimeDirectory,
    timeoutMs: options.timeoutMs ?? JOIN_TIMEOUT_MS,
  });
}
