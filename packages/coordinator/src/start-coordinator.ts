/** The public door: a coordinator that listens. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { importReaders, MemoryMeter, meetingPath, nativeMemory, ownDirectory, readEnvironment } from "@rankcast/core/runtime";
import { fetchAndCast } from "./fetch/cast-weights.ts";
import { fetchWeights } from "./fetch/fetch-weights.ts";
import { startCoordinationServer } from "./grpc/coordination-server.ts";
import { serveMetrics } from "./metrics/serve-metrics.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import { NodeCoordinator } from "./node/node-coordinator.ts";
import { RankWatch } from "./node/rank-watch.ts";

/** How to start a coordinator. */
export interface CoordinatorOptions {
  /** Ranks of the job; all of them run on this node. Jobs of several nodes are coordinated by `launch` and `joinGroup`. */
  readonly worldSize: number;
  /** Equal for all processes of the job. Default: random. */
  readonly jobId?: string;
  /** Version of the membership; grows when the job restarts. Default 0. */
  readonly epoch?: number;
  /** Where to listen, `unix:/absolute/path`. Default: a socket in a fresh 0700 directory. */
  readonly address?: string;
  /** The job's secret. Default: 32 random bytes. */
  readonly token?: string;
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

/**
 * Starts a coordinator for the ranks of this node.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address or the metrics' port cannot be bound.
 */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { worldSize, jobId = randomBytes(8).toString("hex"), epoch = 0, token = randomBytes(32).toString("hex"), metricsPort } = options;
  const metrics = metricsPort === undefined ? null : await serveMetrics(metricsPort);
  const onEvent = (event: CoordinatorEvent): void => {
    metrics?.take(event);
    options.onEvent?.(event);
  };
  const { noMmap, runtimeDirectory } = readEnvironment();
  nativeMemory(noMmap);
  // A name of its own: nobody meets here, and it goes away with this process, however that ends.
  const own = options.address === undefined ? ownDirectory(meetingPath(runtimeDirectory, randomBytes(8).toString("hex"))) : null;
  const address = options.address ?? `unix:${join(own?.path ?? "", "coordinator.sock")}`;
  const node = new NodeCoordinator({
    jobId,
    epoch,
    worldSize,
    localWorldSize: worldSize,
    fetch: fetchAndCast(fetchWeights),
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
