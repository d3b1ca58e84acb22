/** Coordination of a job of several nodes, as the launcher of one of them takes part in it. */
import { randomBytes } from "node:crypto";
import { CheckpointError, type ErrorDetails } from "@rankcast/core";
import { MemoryMeter, nativeMemory, type ProcessVariables, readEnvironment } from "@rankcast/core/runtime";
import { type AttemptCoordination, AttemptRecord, leadTo, socketOf } from "./attempt-coordination.ts";
import type { JobEpoch, JobNode } from "./cluster/job-node.ts";
import { openJobNode } from "./cluster/open-job-node.ts";
import { fetchAndCast } from "./fetch/cast-weights.ts";
import { fetchWeights } from "./fetch/fetch-weights.ts";
import { type CoordinationServer, startCoordinationServer } from "./grpc/coordination-server.ts";
import { launchError } from "./launch/launch-error.ts";
import type { RankFailure } from "./launch/launch-event.ts";
import type { CompiledLaunchOptions, SpawnAttempt, SpawnSettings } from "./launch/launch-options.ts";
import { readLinkConnections } from "./link/read-link-connections.ts";
import { readLinkKey } from "./link/read-link-key.ts";
import type { CoordinatorEvent } from "./node/coordinator-event.ts";
import { RankWatch } from "./node/rank-watch.ts";
import { BARRIER_TIMEOUT_MS } from "./start-coordinator.ts";

/** How to coordinate. */
export interface ManyNodeOptions {
  readonly compiled: CompiledLaunchOptions;
  readonly variables: ProcessVariables;
  readonly barrierTimeoutMs?: number | undefined;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
}

/** Signs of life; a silent node is given up after `nodeTimeout`. */
export const HEARTBEAT_MS = 1000;
/** How long a launcher whose ranks have failed waits to hear what came first in the whole job. */
const VERDICT_MS = 2000;

/** See the module comment. */
export class ManyNodeCoordination implements AttemptCoordination {
  said = new AttemptRecord();
  readonly #options: ManyNodeOptions;
  #node: JobNode | null = null;
  #epoch: JobEpoch | null = null;
  #server: CoordinationServer | null = null;
  #watch: RankWatch | null = null;

  constructor(options: ManyNodeOptions) {
    this.#options = options;
  }

  async begin(attempt: SpawnAttempt): Promise<SpawnSettings> {
    this.said = new AttemptRecord();
    this.#node ??= await this.#open(attempt);
    const epoch = await unlessAborted(this.#node.join(attempt.attempt), attempt.signal);
    this.#epoch = epoch;
    const token = randomBytes(32).toString("hex");
    const address = socketOf(attempt);
    this.#watch = new RankWatch(epoch.ranks, { silenceMs: this.#options.compiled.nodeTimeoutMs });
    this.#server = await startCoordinationServer(address, token, this.#watch, { nodeRank: epoch.nodeRank });
    const node = this.#node;
    return {
      env: leadTo(address, token, attempt),
      epoch: epoch.membership.epoch,
      nodeRank: epoch.nodeRank,
      localWorldSizes: epoch.membership.nodes.map(({ ranks }) => ranks.length),
      stop: epoch.stop,
      lostRank: () => this.said.lostRank,
      confirm: () => node.confirm(),
    };
  }

  starting(): void {
    // Everything listens before ranks are spawned: where they are follows from who has met.
  }

  async end(): Promise<void> {
    this.#watch?.close();
    this.#watch = null;
    this.#epoch?.close();
    this.#epoch = null;
    await this.#server?.close();
    this.#server = null;
  }

  rankFailed(failure: RankFailure): void {
    const own = launchError({ type: "failure", failures: [failure], error: null }, this.#options.compiled.script);
    // Other nodes may have no rank yet that heard of it: what is told here is all they get.
    this.#node?.fail(this.said.better(own) as Error);
  }

  /** What came first in the whole job is the same on all nodes; about a rank of its own a launcher knows more. */
  async conclude(error: unknown): Promise<unknown> {
    const node = this.#node;
    if (!node) return error;
    if (error instanceof CheckpointError && error.class === "cancelled") {
      node.abort(error);
      await node.settle(VERDICT_MS);
      return error;
    }
    await node.settle(VERDICT_MS);
    const better = this.said.better(error);
    const verdict = node.over?.error ?? null;
    if (verdict === null || sameRoot(verdict, better)) return better;
    return sameRoot(verdict, error) ? error : verdict;
  }

  async close(): Promise<void> {
    await this.end();
    await this.#node?.close();
    this.#node = null;
  }

  #open({ runId, signal }: SpawnAttempt): Promise<JobNode> {
    const { compiled, variables, barrierTimeoutMs, onEvent } = this.#options;
    const { rendezvous, nodeRank, nodeCount, nprocPerNode, maxRestarts, joinTimeoutMs, nodeTimeoutMs, linkConnections, insecure } =
      compiled;
    const { noMmap } = readEnvironment();
    nativeMemory(noMmap);
    return openJobNode({
      key: readLinkKey(variables, runId, insecure),
      endpoint: rendezvous,
      isHead: nodeRank === null ? "whoever-binds" : nodeRank === 0 ? "yes" : "no",
      meeting: ["launch", runId, rendezvous?.port ?? 0],
      runtimeDirectory: variables["XDG_RUNTIME_DIR"] || undefined,
      nodeCount,
      worldSize: null,
      nodeRank,
      localWorldSize: nprocPerNode,
      ranks: null,
      maxRestarts,
      // As for the epochs of one node: larger than those of every earlier launcher.
      firstEpoch: Math.floor(Date.now() / 1000) * 1024,
      joinTimeoutMs,
      silenceMs: nodeTimeoutMs,
      heartbeatMs: Math.min(HEARTBEAT_MS, nodeTimeoutMs / 4),
      barrierTimeoutMs: barrierTimeoutMs ?? BARRIER_TIMEOUT_MS,
      noMmap,
      linkConnections: linkConnections ?? readLinkConnections(variables),
      fetch: fetchAndCast(fetchWeights),
      memory: new MemoryMeter(),
      onEvent: (event) => {
        this.said.take(event);
        onEvent?.(event);
      },
      signal,
    });
  }
}

function sameRoot(one: unknown, other: unknown): boolean {
  const [a, b] = [rootOf(one), rootOf(other)];
  return a !== undefined && b !== undefined && a["rank"] === b["rank"] && a["nodeRank"] === b["nodeRank"];
}

function rootOf(error: unknown): ErrorDetails | undefined {
  return error instanceof CheckpointError ? (error.details["rootCause"] as ErrorDetails | undefined) : undefined;
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    promise.then(resolve, reject);
  });
}
