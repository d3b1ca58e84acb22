/** The public launcher: ranks and, for each attempt, a coordinator in this process that they find through their environment. */

import type { LoadReport } from "@rankcast/core";
import {
  DURATION_MS,
  FUNCTION,
  type OptionShapes,
  PORT,
  readHostFacts,
  requireOptions,
  SIGNAL,
  TEXT,
  TEXTS,
  TEXTS_BY_NAME,
} from "@rankcast/core/launcher";
import type { AttemptCoordination } from "./attempt-coordination.ts";
import { launcherVariables } from "./launch/environment.ts";
import { launch as launchRanks } from "./launch/launch.ts";
import { compileLaunchOptions, type LaunchOptions } from "./launch/launch-options.ts";
import type { LaunchResult } from "./launch/launch-run.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import { OneNodeCoordination } from "./one-node-coordination.ts";

const LAUNCH_SHAPES: OptionShapes = new Map([
  ["args", TEXTS],
  ["execArgv", TEXTS],
  ["cwd", TEXT],
  ["env", TEXTS_BY_NAME],
  ["beforeSpawn", FUNCTION],
  ["afterAttempt", FUNCTION],
  ["onEvent", FUNCTION],
  ["onCoordinatorEvent", FUNCTION],
  ["onMetrics", FUNCTION],
  ["signal", SIGNAL],
  ["barrierTimeoutMs", DURATION_MS],
  ["metricsPort", PORT],
]);

/** Options of `launch`: torchrun's flags and meanings, and what concerns the coordinator. */
export interface LaunchJobOptions extends LaunchOptions {
  /** How long a missing rank may show no progress at a barrier, in milliseconds. */
  readonly barrierTimeoutMs?: number;
  /** What the coordinator does: phases, bytes, ranks, reports. */
  readonly onCoordinatorEvent?: (event: CoordinatorEvent) => void;
  /** Serve Prometheus metrics of the whole launch on this port of 127.0.0.1; 0 finds a free one. Default: none. */
  readonly metricsPort?: number;
  /** Hears where metrics are served. */
  readonly onMetrics?: (url: string) => void;
}

/** What a launch that succeeded gives. */
export interface LaunchJobResult extends LaunchResult {
  /** One report per collective load or update of the last attempt, in order; of all nodes. Of more than a hundred the first and the last 99. */
  readonly reports: readonly LoadReport[];
  /** Reports after the first that are left out. */
  readonly reportsOmitted: number;
}

/**
 * Spawns and supervises the ranks of this node; `joinGroup` in them finds the coordinator this starts for every attempt. With several nodes
 * one launcher runs on each: they meet at the rendezvous endpoint, succeed or fail together, and restart together.
 * @throws {UsageError} RANKCAST_USAGE when an option is malformed; nothing has been started.
 * @throws {CheckpointError} the first failure of the job, with `details.rootCause`: a failure that a coordinator saw wins over the exit codes
 * it led to. With several nodes also RANKCAST_NODES_MISSING, RANKCAST_NODE_LOST, RANKCAST_NODE_COUNT, RANKCAST_DUPLICATE_NODE, ...
 * @throws {DistributionError} RANKCAST_INTERRUPTED after a signal, RANKCAST_CANCELLED after an abort.
 * @example
 * const { exitCodes, reports } = await launch({ script: "train.js", nprocPerNode: 4 });
 */
export async function launch(options: LaunchJobOptions): Promise<LaunchJobResult> {
  requireOptions(options, LAUNCH_SHAPES);
  const variables = launcherVariables();
  const compiled = compileLaunchOptions(options, variables, readHostFacts());
  const { barrierTimeoutMs, metricsPort, onCoordinatorEvent } = options;
  const metrics = metricsPort === undefined ? null : await (await import("./metrics/serve-metrics.ts")).serveMetrics(metricsPort);
  if (metrics) options.onMetrics?.(metrics.url);
  const onEvent = (event: CoordinatorEvent): void => {
    metrics?.take(event);
    onCoordinatorEvent?.(event);
  };
  // Ranks of one node are spawned before gRPC is imported; nodes need it to meet.
  const job: AttemptCoordination =
    compiled.nodeCount > 1
      ? new (await import("./many-node-coordination.ts")).ManyNodeCoordination({ compiled, variables, barrierTimeoutMs, onEvent })
      : new OneNodeCoordination({ worldSize: compiled.nprocPerNode, stoppedTimeoutMs: compiled.nodeTimeoutMs, barrierTimeoutMs, onEvent });
  try {
    const result = await launchRanks({
      ...options,
      // Nodes that were given no id of the job agree on the one that follows from their meeting point.
      ...(compiled.nodeCount > 1 && compiled.runId === null ? { rdzvId: `job-${compiled.rendezvous?.port}` } : {}),
      beforeSpawn: async (attempt) => {
        const settings = await options.beforeSpawn?.(attempt);
        const own = await job.begin(attempt);
        const stops = [settings?.stop, own.stop].filter((stop) => stop !== undefined);
        return {
          ...settings,
          ...own,
          env: { ...settings?.env, ...own.env },
          // Both may end the attempt.
          ...(stops.length === 0 ? {} : { stop: AbortSignal.any(stops) }),
        };
      },
      afterAttempt: async (attempt) => {
        await job.end();
        await options.afterAttempt?.(attempt);
      },
      onEvent: (event) => {
        if (event.type === "starting") job.starting();
        if (event.type === "failed") job.rankFailed(event.failure);
        options.onEvent?.(event);
      },
    });
    return { ...result, reports: job.said.reports, reportsOmitted: job.said.reportsOmitted };
  } catch (error) {
    throw await job.conclude(error);
  } finally {
    await job.close();
    await metrics?.close();
  }
}
