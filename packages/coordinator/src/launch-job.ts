/** The public launcher: ranks and, for each attempt, a coordinator in this process that they find through their environment. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, DistributionError, LoadReport } from "@rankcast/core";
import { readHostFacts } from "@rankcast/core/runtime";
import { launcherVariables } from "./launch/environment.ts";
import { launch as launchRanks } from "./launch/launch.ts";
import { compileLaunchOptions, type LaunchOptions, type SpawnAttempt } from "./launch/launch-options.ts";
import type { LaunchResult } from "./launch/launch-run.ts";
import type { CoordinatorEvent } from "./node/node-coordinator.ts";
import { type Coordinator, startCoordinator } from "./start-coordinator.ts";

/** Options of `launch`: torchrun's flags and meanings, and what concerns the coordinator. */
export interface LaunchJobOptions extends LaunchOptions {
  /** How long a missing rank may show no progress at a barrier, in milliseconds. */
  readonly barrierTimeoutMs?: number;
  /** What the coordinator does: phases, bytes, ranks, reports. */
  readonly onCoordinatorEvent?: (event: CoordinatorEvent) => void;
}

/** What a launch that succeeded gives. */
export interface LaunchJobResult extends LaunchResult {
  /** One report per collective load or update of the last attempt, in order. */
  readonly reports: readonly LoadReport[];
}

/**
 * Spawns and supervises the ranks of this node; `joinGroup` in them finds the coordinator this starts for every attempt.
 * @throws {UsageError} RANKCAST_USAGE when an option is malformed; nothing has been started.
 * @throws {CheckpointError} the first failure, with `details.rootCause`: a failure that the coordinator saw wins over the exit codes it led to.
 * @throws {DistributionError} RANKCAST_INTERRUPTED after a signal, RANKCAST_CANCELLED after an abort, RANKCAST_UNSUPPORTED for several nodes.
 * @example
 * const { exitCodes, reports } = await launch({ script: "train.js", nprocPerNode: 4 });
 */
export async function launch(options: LaunchJobOptions): Promise<LaunchJobResult> {
  const { nprocPerNode, nodeCount } = compileLaunchOptions(options, launcherVariables(), readHostFacts());
  if (nodeCount > 1) {
    throw new DistributionError("RANKCAST_UNSUPPORTED", `${nodeCount} nodes: this version coordinates the ranks of one node`, {
      details: { nodeCount },
    });
  }
  const job = new Job(options, nprocPerNode);
  try {
    const result = await launchRanks({
      ...options,
      beforeSpawn: async (attempt) => {
        const settings = await options.beforeSpawn?.(attempt);
        return { ...settings, lostRank: () => job.lostRank, env: { ...settings?.env, ...(await job.begin(attempt)) } };
      },
      afterAttempt: async (attempt) => {
        await job.end();
        await options.afterAttempt?.(attempt);
      },
    });
    return { ...result, reports: job.reports };
  } catch (error) {
    throw isBetterKnown(error, job) ? error : job.failure;
  } finally {
    await job.end();
  }
}

/**
 * Whether the launcher's error says more than the coordinator's: somebody wanted the end, or it is about the rank whose connection closed
 * (the coordinator sees no more of it; the launcher knows the exit code, the signal and the error file).
 */
function isBetterKnown(error: unknown, { failure, lostRank }: Job): boolean {
  if (failure === null) return true;
  if (lostRank === null) return false;
  return (error instanceof CheckpointError && error.class === "cancelled") || rootRankOf(error) === lostRank;
}

/** The rank whose failure came first; null when no rank's did. */
function rootRankOf(error: unknown): number | null {
  const cause = error instanceof CheckpointError ? (error.details["rootCause"] as { readonly rank?: unknown } | undefined) : undefined;
  return typeof cause?.rank === "number" ? cause.rank : null;
}

/** The coordinator of the running attempt and what it has said. */
class Job {
  reports: LoadReport[] = [];
  failure: CheckpointError | null = null;
  readonly #options: LaunchJobOptions;
  readonly #worldSize: number;
  #coordinator: Coordinator | null = null;

  constructor(options: LaunchJobOptions, worldSize: number) {
    this.#options = options;
    this.#worldSize = worldSize;
  }

  /** Starts the attempt's coordinator; gives the variables that lead ranks to it. The token travels in a file, never in a variable. */
  async begin({ runId, attempt, directory }: SpawnAttempt): Promise<Record<string, string>> {
    this.reports = [];
    this.failure = null;
    const { barrierTimeoutMs, onCoordinatorEvent } = this.#options;
    this.#coordinator = await startCoordinator({
      worldSize: this.#worldSize,
      jobId: runId,
      epoch: attempt,
      // In the launch's own folder, which goes away with the launcher even when it is killed.
      address: `unix:${join(directory, `coordinator-${attempt}.sock`)}`,
      ...(barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs }),
      onEvent: (event) => {
        if (event.type === "report") this.reports.push(new LoadReport(event.report));
        if (event.type === "failed") this.failure ??= event.error;
        onCoordinatorEvent?.(event);
      },
    });
    const tokenFile = join(directory, `token-${attempt}`);
    writeFileSync(tokenFile, this.#coordinator.token, { mode: 0o600 });
    return { RANKCAST_COORDINATOR: this.#coordinator.address, RANKCAST_TOKEN_FILE: tokenFile };
  }

  /** The rank whose connection ended while others needed it, if that is how the attempt failed. */
  get lostRank(): number | null {
    return this.failure?.code === "RANKCAST_RANK_LOST" ? rootRankOf(this.failure) : null;
  }

  /** Ends it. Safe to call twice. */
  async end(): Promise<void> {
    await this.#coordinator?.close();
    this.#coordinator = null;
  }
}
