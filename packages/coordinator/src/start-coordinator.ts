/** The public door: a coordinator that listens. */
import { randomBytes } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { compileLimits } from "@rankcast/core";
import {
  importReaders,
  MemoryMeter,
  meetingPath,
  nativeMemory,
  ownDirectory,
  readEnvironment,
  requireFetchOptions,
} from "@rankcast/core/runtime";
import { type CompiledCoordinatorOptions, type CoordinatorOptions, compileCoordinatorOptions } from "./coordinator-options.ts";
import { fetchAndCast } from "./fetch/cast-weights.ts";
import { type FetchWeights, fetchWeights } from "./fetch/fetch-weights.ts";
import { startCoordinationServer } from "./grpc/coordination-server.ts";
import { launcherVariables } from "./launch/environment.ts";
import { serveMetrics } from "./metrics/serve-metrics.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import { NodeCoordinator } from "./node/node-coordinator.ts";
import { RankWatch } from "./node/rank-watch.ts";
import { rehearseRounds } from "./node/rehearse-rounds.ts";
import type { CoordinatedNode, RankHost } from "./rank-host.ts";

/** A coordinator that listens. */
export interface Coordinator extends AsyncDisposable {
  /** For the ranks of this node. */
  readonly address: string;
  /** What the ranks of this node show. */
  readonly token: string;
  readonly jobId: string;
  readonly epoch: number;
  /** Where the other nodes find node 0; null when there are none. */
  readonly endpoint: string | null;
  /**
   * Resolves with all nodes of the job when they have come together; ranks that come before wait. Rejects as the ranks' first calls do:
   * RANKCAST_NODES_MISSING, RANKCAST_DUPLICATE_NODE, RANKCAST_NODE_COUNT, RANKCAST_TOPOLOGY, ... Need not be awaited.
   */
  readonly joined: Promise<readonly CoordinatedNode[]>;
  /** Where metrics are; null without `metricsPort`. */
  readonly metricsUrl: string | null;
  /**
   * Ends sessions, rounds and the socket. With several nodes, when the ranks of this one have left, it first waits for the other nodes' ranks to do so
   * (`joinTimeoutMs` at most); closed before its ranks have left, it is a lost node to the others. Safe to call twice.
   */
  close(): Promise<void>;
}

/** Ten minutes of silence are a hang; slow disks still show progress. */
export const BARRIER_TIMEOUT_MS = 600_000;
const STOPPED_TIMEOUT_MS = 10_000;
const JOIN_TIMEOUT_MS = 300_000;

/**
 * Starts a coordinator for the ranks of this node: of all of a job's, or of one of several nodes, each of which starts one.
 * @throws {UsageError} RANKCAST_USAGE for an option that is not what it must be, RANKCAST_UNPROTECTED when nodes would talk over a network with nothing
 * that proves who they are.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when an address or the metrics' port cannot be bound, or node 0 does not appear in time;
 * RANKCAST_TOKEN_REFUSED, RANKCAST_WRONG_JOB.
 * @example
 * const tls = { cert: readFileSync("node.pem"), key: readFileSync("node.key"), ca: readFileSync("ca.pem") };
 * const topology = { worldSize: 8, nodes: 2, nodeRank: 0 };
 * await using coordinator = await startCoordinator({ topology, rdzvEndpoint: "node-a:29400", tls });
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const compiled = compileCoordinatorOptions(options, launcherVariables());
  const { jobId, epoch, token, place } = compiled;
  const fetch = withDefaults(fetchAndCast(fetchWeights), options);
  const { stoppedTimeoutMs = STOPPED_TIMEOUT_MS, metricsPort } = options;
  const metrics = metricsPort === undefined ? null : await serveMetrics(metricsPort);
  const onEvent = (event: CoordinatorEvent): void => {
    metrics?.take(event);
    options.onEvent?.(event);
  };
  const { noMmap, runtimeDirectory } = readEnvironment();
  nativeMemory(noMmap);
  // A name of its own: nobody meets here, and it goes away with this process, however that ends.
  const own = compiled.address === null ? ownDirectory(meetingPath(runtimeDirectory, randomBytes(8).toString("hex"))) : null;
  const address = compiled.address ?? `unix:${join(own?.path ?? "", "coordinator.sock")}`;
  const undo: (() => unknown)[] = [() => metrics?.close(), () => own?.leave()];
  const unwind = async (): Promise<void> => {
    for (const step of undo.splice(0)) await step();
  };
  try {
    const host = await openHost(compiled, options, { fetch, onEvent });
    undo.unshift(() => host.leave());
    const watch = new RankWatch(host.ranks, { silenceMs: stoppedTimeoutMs });
    undo.unshift(() => {
      watch.close();
      host.end();
    });
    const server = await startCoordinationServer(address, token, watch, { nodeRank: place?.nodeRank });
    undo.splice(1, 0, () => server.close());
    setImmediate(() => void (hasTimeToRehearse(compiled.worldSize) ? rehearseRounds() : importReaders()));
    let closing: Promise<void> | null = null;
    const close = (): Promise<void> => {
      closing ??= host.settled().then(unwind);
      return closing;
    };
    const { endpoint, joined } = host;
    return { address, token, jobId, epoch, endpoint, joined, metricsUrl: metrics?.url ?? null, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await unwind();
    throw error;
  }
}

/**
 * Ranks are being started, or are on their way here: that is time for a rehearsal, of a launcher that has a processor to itself meanwhile also where there is one
 * rank. Of a rank that is alone and has its coordinator in a thread it is time of its own start, and nobody waits with it.
 */
function hasTimeToRehearse(worldSize: number): boolean {
  return worldSize > 1 || (isMainThread && availableParallelism() > 1);
}

/** What all kinds of coordinators work with. */
interface HostTools {
  readonly fetch: FetchWeights;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

async function openHost(compiled: CompiledCoordinatorOptions, options: CoordinatorOptions, tools: HostTools): Promise<RankHost> {
  const { barrierTimeoutMs = BARRIER_TIMEOUT_MS, stoppedTimeoutMs = STOPPED_TIMEOUT_MS, joinTimeoutMs = JOIN_TIMEOUT_MS } = options;
  const { place } = compiled;
  if (place === null) return openLoneHost(compiled, { ...tools, barrierTimeoutMs });
  // One node's coordinator does without the code for several.
  const { coordinateNodes } = await import("./coordinate-nodes.ts");
  const bounds = { joinTimeoutMs, silenceMs: stoppedTimeoutMs, barrierTimeoutMs };
  return coordinateNodes({ compiled, place, variables: launcherVariables(), ...bounds, ...tools });
}

function openLoneHost(compiled: CompiledCoordinatorOptions, tools: HostTools & { readonly barrierTimeoutMs: number }): RankHost {
  const { jobId, epoch, worldSize, localWorldSize } = compiled;
  const node = new NodeCoordinator({ jobId, epoch, worldSize, localWorldSize, memory: new MemoryMeter(), ...tools });
  const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
  return {
    ranks: node,
    endpoint: null,
    joined: Promise.resolve([{ nodeRank: 0, host: hostname(), ranks }]),
    settled: async () => undefined,
    end: () => node.close(),
    leave: async () => undefined,
  };
}

/** Fetches with what the owner of the coordinator has set, where ranks have not said otherwise. */
function withDefaults(fetchWith: FetchWeights, { fetch = {}, limits, cacheDir }: CoordinatorOptions): FetchWeights {
  requireFetchOptions(fetch);
  const defaults = { ...fetch, ...(cacheDir === undefined ? {} : { cacheDir }) };
  const bounds = compileLimits({ ...fetch.limits, ...limits });
  return (weights, given, listener, signal, readers) =>
    fetchWith(weights, { ...defaults, ...given, limits: { ...bounds, ...given.limits } }, listener, signal, readers);
}
