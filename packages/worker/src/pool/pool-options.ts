/** What a pool is made with and what it tells. */
import type { ResourceLimits } from "node:worker_threads";
import { type CheckpointError, DistributionError, type LoadReport, type StateDict } from "@rankcast/core";
import {
  describeFound,
  FUNCTION,
  OBJECT,
  type OptionShapes,
  requireArgument,
  requireOptions,
  SIGNAL,
  TEXT,
  wholeNumber,
} from "@rankcast/core/runtime";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { SubscribeOptions, WeightSubscription } from "./weight-subscription.ts";

/** How to make a pool. */
export interface ReplicaPoolOptions {
  /** Module that exports `createReplica(context)`; leave it out to build replicas from the checkpoint itself. */
  readonly replica?: URL | string;
  /** Number of replicas, each in its own thread. Default 1. */
  readonly replicas?: number;
  /** Passed to `createReplica` as `context.options`; structured-cloneable. */
  readonly options?: unknown;
  /** Time a replica's thread may take to import its module and build its model. Default 60 000. */
  readonly startTimeoutMs?: number;
  /**
   * Time one call, or one step of a load, may take in a replica once it has begun. After it the thread is ended and the call rejects with
   * RANKCAST_REPLICA_DEADLINE. Default: none, because only the caller knows what a training step takes.
   */
  readonly timeoutMs?: number;
  /**
   * What happens to a replica whose thread has ended. `on-request` (default): calls reject until `pool.restart(replica)`. `automatic`: it is
   * restarted and gets the weights of the current generation; calls that had not begun wait for that, none is repeated.
   */
  readonly restart?: "on-request" | "automatic";
  /** Automatic restarts of one replica in a row before it is left as it is; a success in between counts from 0 again. Default 3. */
  readonly maxRestarts?: number;
  /** Calls that may wait for one replica. Default `DEFAULT_LIMITS.replicaQueueCalls`. */
  readonly maxQueue?: number;
  /** Bounds of each thread's JavaScript heap, as of `node:worker_threads`. Tensors are outside of it. Default: Node's own. */
  readonly resourceLimits?: ResourceLimits;
  /** Hears of threads that end and of restarts; for logs and metrics. */
  readonly onReplicaEvent?: (event: ReplicaEvent) => void;
}

/** Something that happened to a replica. */
export type ReplicaEvent =
  | { readonly type: "crashed"; readonly replica: number; readonly error: CheckpointError }
  | { readonly type: "restarted"; readonly replica: number; readonly generation: number }
  | { readonly type: "restart-failed"; readonly replica: number; readonly error: CheckpointError };

/** One replica now. */
export interface ReplicaStatus {
  readonly replica: number;
  /** `crashed`: its thread has ended and nobody has restarted it. */
  readonly state: "idle" | "busy" | "restarting" | "crashed" | "closed";
  /** Calls and load steps that wait for it; the running one is not counted. */
  readonly queued: number;
  /** How often it has been restarted. */
  readonly restarts: number;
  /** What its last thread ended with; null while it lives. */
  readonly error: CheckpointError | null;
}

/** How to call a replica. */
export interface ReplicaCallOptions {
  /** Index of the replica. Default 0. */
  readonly replica?: number;
  /** Overrides the pool's `timeoutMs` for this call. */
  readonly timeoutMs?: number;
  /** Takes the call out of the queue. One that runs cannot be interrupted without ending the replica: its result is dropped. */
  readonly signal?: AbortSignal;
}

/** What a call gave, and which weights it was made with. */
export interface PoolReply {
  readonly value: unknown;
  readonly replica: number;
  /** Of the last collective load or update that the replica had taken when the call began; -1 before the first. */
  readonly generation: number;
  /** The label of the update or publication; empty when there was none. */
  readonly version: string;
  /** Publications that were newer than the replica's when the call began; 0 without a subscription. */
  readonly behind: number;
}

/** What a pool needs of its group; kept narrow so that a pool can be tested without one. */
export interface PoolGroup<Options> {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  readonly generation: number;
  readonly noMmap: boolean;
  load(replicas: ReplicaSet, weights: string, options: Options | undefined): Promise<LoadReport>;
  update(
    replicas: ReplicaSet,
    stateDict: StateDict | null,
    options: { readonly src?: number; readonly version?: string },
  ): Promise<LoadReport>;
  subscribe(replicas: ReplicaSet, options: SubscribeOptions): WeightSubscription;
  poolClosed(pool: { close(): Promise<void> }): void;
}

const START_TIMEOUT_MS = 60_000;
const RESTARTS_MAX = 3;
/** A timer of Node cannot be set further ahead. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

const POOL_SHAPES: OptionShapes = new Map([
  ["replica", { expected: "a URL or a string", fits: (value) => typeof value === "string" || value instanceof URL }],
  ["resourceLimits", OBJECT],
  ["onReplicaEvent", FUNCTION],
]);

/** Options with defaults, checked. */
export type CompiledPoolOptions = ReplicaPoolOptions & {
  readonly replicas: number;
  readonly startTimeoutMs: number;
  readonly restart: "on-request" | "automatic";
  readonly maxRestarts: number;
};

/** Checks counts and times and fills in defaults. @throws {DistributionError} RANKCAST_USAGE naming the option. */
export function compilePoolOptions(options: ReplicaPoolOptions): CompiledPoolOptions {
  requireOptions(options, POOL_SHAPES);
  const { replicas = 1, startTimeoutMs = START_TIMEOUT_MS, restart = "on-request", maxRestarts = RESTARTS_MAX } = options;
  requireWithin("replicas", replicas, 1, Number.MAX_SAFE_INTEGER);
  requireWithin("startTimeoutMs", startTimeoutMs, 1, TIMEOUT_MS_MAX);
  requireWithin("maxRestarts", maxRestarts, 0, Number.MAX_SAFE_INTEGER);
  if (options.timeoutMs !== undefined) requireWithin("timeoutMs", options.timeoutMs, 1, TIMEOUT_MS_MAX);
  if (options.maxQueue !== undefined) requireWithin("maxQueue", options.maxQueue, 0, Number.MAX_SAFE_INTEGER);
  if (restart !== "on-request" && restart !== "automatic") {
    throw usage("restart", `restart must be "on-request" or "automatic", not ${describeFound(restart)}`);
  }
  return { ...options, replicas, startTimeoutMs, restart, maxRestarts };
}

/** @throws {DistributionError} RANKCAST_USAGE when `value` is no whole number between the two. */
export function requireWithin(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw usage(option, `${option} must be a whole number from ${least} to ${most}, not ${describeFound(value)}`);
}

function usage(option: string, text: string): DistributionError {
  return new DistributionError("RANKCAST_USAGE", text, { details: { option } });
}

/** A function in the options would end the task with an error that names nothing. @throws {DistributionError} RANKCAST_USAGE naming the option. */
export function requireCloneable(options: ReplicaLoadOptions): void {
  // Of any shape as yet: what they must be is told where they are compiled.
  const rules: readonly unknown[] = Array.isArray(options.revKeys) ? options.revKeys : [];
  const inRules = rules.some((rule) => Array.isArray(rule) && typeof rule[1] === "function");
  const option = inRules ? "revKeys" : Object.entries(options).find(([, value]) => typeof value === "function")?.[0];
  if (option === undefined) return;
  throw new DistributionError("RANKCAST_USAGE", `${option} holds a function, which cannot cross to the threads of a pool`, {
    details: { option },
    remedy: "Use a replacement template, or load into a model of the rank's main thread.",
  });
}

const CALL_SHAPES: OptionShapes = new Map([
  ["replica", wholeNumber(0, Number.MAX_SAFE_INTEGER)],
  ["timeoutMs", wholeNumber(1, TIMEOUT_MS_MAX)],
  ["signal", SIGNAL],
]);

/** @throws {UsageError} RANKCAST_USAGE when a call of a replica is none. */
export function requireCall(name: unknown, options: unknown): void {
  requireArgument("name", name, TEXT);
  requireOptions(options, CALL_SHAPES);
}
