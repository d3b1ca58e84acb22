/** The door of a rank: finds out who it is and who coordinates it, and joins. */
import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { UsageError } from "@rankcast/core";
import {
  type DetectedRank,
  DURATION_MS,
  detectRank,
  nativeMemory,
  OBJECT,
  type OptionShapes,
  readHostFacts,
  requireIdentity,
  requireOptions,
  TEXT,
  uniqueTag,
  wholeNumber,
} from "@rankcast/core/runtime";
import { readRankEnvironment } from "../environment/environment.ts";
import { type Hello, PROTOCOL_VERSION } from "../grpc/coordinator-channel.ts";
import { RankSession } from "../session/rank-session.ts";
import { watchedChannel } from "../session/watched-channel.ts";
import { awaitToken } from "./await-token.ts";
import type { NodesOptions } from "./coordinator-thread.ts";
import { type CoordinatorAddress, meetCoordinator } from "./find-coordinator.ts";
import { findHead, jobIdOf } from "./find-head.ts";
import { RankGroup } from "./rank-group.ts";
import { rehearseRound } from "./rehearse-round.ts";

/** How to join. Everything has a sensible default under a launcher. */
export interface JoinGroupOptions {
  /** Variables to read instead of the process's own. */
  readonly environment?: { readonly [name: string]: string | undefined };
  /** Address of the node's coordinator; default `RANKCAST_COORDINATOR`, else one is started by local rank 0. */
  readonly coordinator?: string;
  /** The job's id, as the coordinator has it (`Coordinator.jobId`); default what the launcher says, `RANKCAST_JOB_ID` first. */
  readonly jobId?: string;
  /** The job's token; default the content of `RANKCAST_TOKEN_FILE`. */
  readonly token?: string;
  /** How long to wait for the node's coordinator to appear. Default 60 000: ranks of one node start together, but imports may be slow. */
  readonly timeoutMs?: number;
  /** How long the nodes of a job may take to come together. Default `RANKCAST_JOIN_TIMEOUT` (seconds), else 300 000. */
  readonly joinTimeoutMs?: number;
  /** How long another node may be silent, or a rank or coordinator of this one be stopped (SIGSTOP), before it is given up. Default `RANKCAST_NODE_TIMEOUT` (seconds), else 10 000. */
  readonly nodeTimeoutMs?: number;
  /** Connections that tensor bytes take from node to node, as node 0 says. Default `RANKCAST_LINK_CONNECTIONS`, else planned by size and latency. */
  readonly linkConnections?: number;
}

const JOIN_SHAPES: OptionShapes = new Map([
  ["environment", OBJECT],
  ["coordinator", TEXT],
  ["jobId", TEXT],
  ["token", TEXT],
  ["timeoutMs", DURATION_MS],
  ["joinTimeoutMs", DURATION_MS],
  ["nodeTimeoutMs", DURATION_MS],
  ["linkConnections", wholeNumber(1, Number.MAX_SAFE_INTEGER)],
]);

const APPEAR_TIMEOUT_MS = 60_000;
const JOIN_TIMEOUT_MS = 300_000;
const NODE_TIMEOUT_MS = 10_000;

/**
 * Joins this process's job: torchrun, rankcast, Slurm, Open MPI and Kubernetes variables are recognised; without any it is a world of one.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when the variables contradict each other; RANKCAST_USAGE when there is a coordinator and no job id.
 * With several nodes and no launcher of ours, the node of rank 0 is found at `RANKCAST_RDZV_ENDPOINT` or where the launcher says; nodes on
 * different machines need `RANKCAST_TOKEN_FILE` too.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE, RANKCAST_TOKEN_REFUSED, RANKCAST_DUPLICATE_RANK, RANKCAST_NODES_MISSING, ...
 */
export async function joinGroup(options: JoinGroupOptions = {}): Promise<RankGroup> {
  requireOptions(options, JOIN_SHAPES);
  const environment = readRankEnvironment(options.environment);
  // Opening the kernel door takes longer than mapping a gigabyte: it belongs to start-up, not to the first load.
  nativeMemory(environment.noMmap);
  const facts = readHostFacts();
  const detected = detectRank(environment.variables, facts);
  const { identity } = detected;
  // How many nodes there are is found out when they meet; which ranks share this one must be known.
  const localWorldSize = identity.localWorldSize ?? requireIdentity(detected).localWorldSize;
  const jobId = options.jobId ?? jobName(detected, environment.variables, options.coordinator ?? environment.coordinator);
  const epoch = detected.restartCount;
  const coordinator = await findCoordinator(options, environment, { detected, localWorldSize, jobId, epoch });
  const hello: Hello = {
    type: "hello",
    protocol: PROTOCOL_VERSION,
    jobId,
    epoch,
    rank: identity.rank,
    localRank: identity.localRank,
    nodeRank: identity.nodeRank ?? 0,
    worldSize: identity.worldSize,
    localWorldSize,
    incarnation: uniqueTag(),
    pid: process.pid,
    host: facts.hostname,
  };
  try {
    const watched = watchedChannel(nodeTimeoutOf(options, environment.variables));
    const joining = RankSession.open(coordinator.address, coordinator.token, hello, watched);
    // Told apart below; a rehearsal that fails first must not leave it unheard.
    joining.catch(() => undefined);
    // The coordinator answers meanwhile, in another process or thread. A rank that is alone holds nobody up.
    await nextTurn();
    if (identity.worldSize > 1) await rehearseRound(hello, { ...identity, localWorldSize, nodeRank: 0, nodeCount: 1 }, environment.noMmap);
    const session = await joining;
    const settled = { ...identity, localWorldSize, ...session.place };
    return new RankGroup({ session, identity: settled, thread: coordinator.thread, noMmap: environment.noMmap });
  } catch (error) {
    await coordinator.thread?.close();
    throw error;
  }
}

async function findCoordinator(
  options: JoinGroupOptions,
  environment: ReturnType<typeof readRankEnvironment>,
  job: { readonly detected: DetectedRank; readonly localWorldSize: number; readonly jobId: string; readonly epoch: number },
): Promise<CoordinatorAddress> {
  const address = options.coordinator ?? environment.coordinator;
  if (address !== undefined) {
    const timeoutMs = options.timeoutMs ?? APPEAR_TIMEOUT_MS;
    const token = options.token ?? (environment.tokenFile === undefined ? "" : await awaitToken(environment.tokenFile, timeoutMs));
    return { address, token, thread: null };
  }
  return meetCoordinator({
    jobId: job.jobId,
    epoch: job.epoch,
    localRank: job.detected.identity.localRank,
    localWorldSize: job.localWorldSize,
    nodeKey: job.detected.nodeKey,
    runtimeDirectory: environment.runtimeDirectory,
    timeoutMs: options.timeoutMs ?? APPEAR_TIMEOUT_MS,
    stoppedTimeoutMs: nodeTimeoutOf(options, environment.variables),
    nodes: hasOneNode(job.detected) ? null : nodesOf(options, environment.variables, job),
  });
}

function hasOneNode({ identity }: DetectedRank): boolean {
  return identity.nodeCount === 1 || identity.localWorldSize === identity.worldSize;
}

/** Without a job id only this user's ranks of this directory could be meant; the parent process tells two such jobs of one node apart. */
function jobName(detected: DetectedRank, variables: Variables, coordinator: string | undefined): string {
  if (coordinator !== undefined && detected.jobId === null && !variables["RANKCAST_JOB_ID"]) {
    throw new UsageError("RANKCAST_USAGE", `the id of the job whose coordinator is at ${coordinator} is not known`, {
      details: { coordinator },
      remedy: "Give joinGroup the coordinator's own jobId, or set RANKCAST_JOB_ID to it.",
    });
  }
  if (!hasOneNode(detected)) return jobIdOf(detected, variables);
  return detected.jobId ?? (detected.identity.worldSize === 1 ? randomUUID() : `parent-${process.ppid}`);
}

type Variables = { readonly [name: string]: string | undefined };

function nodeTimeoutOf({ nodeTimeoutMs }: JoinGroupOptions, variables: Variables): number {
  return nodeTimeoutMs ?? secondsOf(variables, "RANKCAST_NODE_TIMEOUT") ?? NODE_TIMEOUT_MS;
}

/** In milliseconds; null when it says none. */
function secondsOf(variables: Variables, name: string): number | null {
  return Number(variables[name]) > 0 ? Number(variables[name]) * 1000 : null;
}

function nodesOf(
  options: JoinGroupOptions,
  variables: Variables,
  { detected, jobId }: { readonly detected: DetectedRank; readonly jobId: string },
): NodesOptions {
  const { rank, worldSize, nodeRank, nodeCount } = detected.identity;
  return {
    worldSize,
    nodeCount,
    nodeRank,
    // Local ranks follow the order of ranks, and only local rank 0 asks.
    isHead: nodeRank === null ? rank === 0 : nodeRank === 0,
    endpoint: findHead(detected, jobId, variables),
    variables: {
      ...variables,
      ...(options.linkConnections === undefined ? {} : { RANKCAST_LINK_CONNECTIONS: String(options.linkConnections) }),
    },
    joinTimeoutMs: options.joinTimeoutMs ?? secondsOf(variables, "RANKCAST_JOIN_TIMEOUT") ?? JOIN_TIMEOUT_MS,
    nodeTimeoutMs: nodeTimeoutOf(options, variables),
  };
}
