/** The public door: a coordinator that listens. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { compileLimits, type FetchOptions, UsageError } from "@rankcast/core";
import {
  DURATION_MS,
  FUNCTION,
  importReaders,
  MemoryMeter,
  meetingPath,
  nativeMemory,
  OBJECT,
  type OptionShapes,
  ownDirectory,
  PORT,
  quote,
  readEnvironment,
  requireArgument,
  requireFetchOptions,
  requireOptions,
  TEXT,
  wholeNumber,
} from "@rankcast/core/runtime";
import { fetchAndCast } from "./fetch/cast-weights.ts";
import { type FetchWeights, fetchWeights } from "./fetch/fetch-weights.ts";
import { startCoordinationServer } from "./grpc/coordination-server.ts";
import { serveMetrics } from "./metrics/serve-metrics.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import { NodeCoordinator } from "./node/node-coordinator.ts";
import { RankWatch } from "./node/rank-watch.ts";

/** How to start a coordinator. */
export interface CoordinatorOptions {
  /** Ranks of the job; all of them run on this node. Jobs of several nodes are coordinated by `launch` and `joinGroup`. */
  readonly worldSize?: number;
  /** The same as a record; `nodes` is 1 or left out. */
  readonly topology?: { readonly worldSize: number; readonly nodes?: number };
  /** Equal for all processes of the job. Default: random. */
  readonly jobId?: string;
  /** Version of the membership; grows when the job restarts. Default 0. */
  readonly epoch?: number;
  /** Where to listen, `unix:/absolute/path`. Default: a socket in a fresh 0700 directory. */
  readonly bind?: string;
  /** The same as `bind`. */
  readonly address?: string;
  /** The job's secret. Default: 32 random bytes. */
  readonly token?: string;
  /** What loads fetch with unless ranks say otherwise: headers, tables, `offline`, ... */
  readonly fetch?: FetchOptions;
  /** Limits of loads; those that ranks name win. */
  readonly limits?: FetchOptions["limits"];
  /** Where downloads are kept unless ranks say otherwise. */
  readonly cacheDir?: string;
  /** How long a missing rank may show no progress at a barrier. Default 600 000: ten minutes of silence are a hang, slow disks still show progress. */
  readonly barrierTimeoutMs?: number;
  /** How long a rank's process may be stopped (SIGSTOP) before it is given up. Default 10 000. */
  readonly stoppedTimeoutMs?: number;
  readonly onEvent?: (event: CoordinatorEvent) => void;
  /** Serve Prometheus metrics on this port of 127.0.0.1; 0 finds a free one. Default: none. */
  readonly metricsPort?: number;
}

/** A coordinator that listens. */
export interface Coordinator extends AsyncDisposable {
  readonly address: string;
  readonly token: string;
  readonly jobId: string;
  readonly epoch: number;
  /** Where metrics are; null without `metricsPort`. */
  readonly metricsUrl: string | null;
  /** Ends sessions, rounds and the socket. Safe to call twice. */
  close(): Promise<void>;
}

/** Ten minutes of silence are a hang; slow disks still show progress. */
export const BARRIER_TIMEOUT_MS = 600_000;
const STOPPED_TIMEOUT_MS = 10_000;

/** More ranks than any job has; a typing error is more likely. */
const WORLD_SIZE_MAX = 2 ** 20;
const COORDINATOR_SHAPES: OptionShapes = new Map([
  ["worldSize", wholeNumber(1, WORLD_SIZE_MAX)],
  ["topology", OBJECT],
  ["jobId", TEXT],
  ["epoch", wholeNumber(0, Number.MAX_SAFE_INTEGER)],
  ["bind", TEXT],
  ["address", TEXT],
  ["token", TEXT],
  ["fetch", OBJECT],
  ["limits", OBJECT],
  ["cacheDir", TEXT],
  ["barrierTimeoutMs", DURATION_MS],
  ["stoppedTimeoutMs", DURATION_MS],
  ["onEvent", FUNCTION],
  ["metricsPort", PORT],
]);

/**
 * Starts a coordinator for the ranks of this node.
 * @throws {UsageError} RANKCAST_USAGE for an option that is not what it must be, for an address that is no path of this machine, for several nodes.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address or the metrics' port cannot be bound.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  requireOptions(options, COORDINATOR_SHAPES);
  const worldSize = worldSizeOf(options);
  const asked = options.address ?? options.bind;
  requireLocal(asked);
  const { jobId = randomBytes(8).toString("hex"), epoch = 0, token = randomBytes(32).toString("hex"), metricsPort } = options;
  const metrics = metricsPort === undefined ? null : await serveMetrics(metricsPort);
  const onEvent = (event: CoordinatorEvent): void => {
    metrics?.take(event);
    options.onEvent?.(event);
  };
  const { noMmap, runtimeDirectory } = readEnvironment();
  nativeMemory(noMmap);
  // A name of its own: nobody meets here, and it goes away with this process, however that ends.
  const own = asked === undefined ? ownDirectory(meetingPath(runtimeDirectory, randomBytes(8).toString("hex"))) : null;
  const address = asked ?? `unix:${join(own?.path ?? "", "coordinator.sock")}`;
  const node = new NodeCoordinator({
    jobId,
    epoch,
    worldSize,
    localWorldSize: worldSize,
    fetch: withDefaults(fetchAndCast(fetchWeights), options),
    memory: new MemoryMeter(),
    onEvent,
    barrierTimeoutMs: options.barrierTimeoutMs ?? BARRIER_TIMEOUT_MS,
  });
  const watch = new RankWatch(node, { silenceMs: options.stoppedTimeoutMs ?? STOPPED_TIMEOUT_MS });
  try {
    const server = await startCoordinationServer(address, token, watch);
    // Ranks are being started, or are on their way here: half of the code that the first load needs is read meanwhile.
    setImmediate(() => void importReaders());
    let closing: Promise<void> | null = null;
    const close = (): Promise<void> => {
      closing ??= (async () => {
        watch.close();
        node.close();
        await server.close();
        await metrics?.close();
        own?.leave();
      })();
      return closing;
    };
    return { address, token, jobId, epoch, metricsUrl: metrics?.url ?? null, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    watch.close();
    await metrics?.close();
    own?.leave();
    throw error;
  }
}

function worldSizeOf({ worldSize, topology }: CoordinatorOptions): number {
  if (topology !== undefined) {
    requireOptions(topology, new Map([["worldSize", wholeNumber(1, WORLD_SIZE_MAX)]]));
    if ((topology.nodes ?? 1) !== 1) {
      throw new UsageError("RANKCAST_USAGE", `topology: a job of ${topology.nodes} nodes is coordinated by launch and joinGroup`, {
        details: { option: "topology" },
        remedy: "Use launch({ nnodes }) or joinGroup on every node.",
      });
    }
  }
  const ranks = worldSize ?? topology?.worldSize;
  requireArgument("worldSize", ranks, wholeNumber(1, WORLD_SIZE_MAX));
  return Number(ranks);
}

/** Only this machine: links between machines are encrypted, and are not this door's. */
function requireLocal(address: string | undefined): void {
  if (address === undefined || address.startsWith("unix:/")) return;
  throw new UsageError("RANKCAST_USAGE", `bind must be unix:/absolute/path, not ${quote(address)}`, {
    details: { option: "bind" },
    remedy: "Jobs of several machines are coordinated by launch and joinGroup, over encrypted links.",
  });
}

/** Fetches with what the owner of the coordinator has set, where ranks have not said otherwise. */
function withDefaults(fetchWith: FetchWeights, { fetch = {}, limits, cacheDir }: CoordinatorOptions): FetchWeights {
  requireFetchOptions(fetch);
  const defaults = { ...fetch, ...(cacheDir === undefined ? {} : { cacheDir }) };
  const bounds = compileLimits({ ...fetch.limits, ...limits });
  return (weights, given, listener, signal, readers) =>
    fetchWith(weights, { ...defaults, ...given, limits: { ...bounds, ...given.limits } }, listener, signal, readers);
}
