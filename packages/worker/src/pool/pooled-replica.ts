/**
 * One replica of a pool: its queue, its thread, and the thread after that. Tasks run one at a time, first come first served; each runs at most
 * once, whatever happens to the thread.
 */
import { type CheckpointError, DEFAULT_LIMITS, DistributionError } from "@rankcast/core";
import { asCheckpointError } from "@rankcast/core/runtime";
import type { WeightsLabel } from "../replica/weights-label.ts";
import { type Crash, cancelledError, closedError, crashError } from "./crash.ts";
import type { CompiledPoolOptions, ReplicaEvent, ReplicaStatus } from "./pool-options.ts";
import type { ReloadStep } from "./reload-steps.ts";
import type { ReplicaThread } from "./replica-thread.ts";
import { startTask } from "./start-task.ts";
import { takeThread } from "./thread-stock.ts";
import { type ThreadTask, type ThreadValues, taskName } from "./thread-tasks.ts";

/** What a replica needs of its pool. */
export interface ReplicaSurroundings {
  readonly options: CompiledPoolOptions;
  readonly start: ThreadTask & { readonly type: "start" };
  /** What a fresh replica must load. @throws {DistributionError} RANKCAST_REPLICA_NOT_RELOADABLE. */
  reloadSteps(): readonly ReloadStep[];
  readonly generation: () => number;
}

/** How to run a task. */
export interface TaskOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Run it in this thread or not at all (null: the thread is gone): a commit belongs to the thread that prepared. */
  readonly only?: ReplicaThread | null;
  /** Called when the task begins. */
  readonly onBegin?: () => void;
  /** Before the calls that wait: weights are taken at the next step, not after all steps that were asked for. */
  readonly first?: boolean;
  /** What belongs to it, given its value: runs right behind it, before any call, and the last value is the result. */
  readonly followedBy?: (value: unknown) => readonly ThreadTask[];
}

interface Job {
  readonly task: ThreadTask;
  readonly options: TaskOptions;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** See the module comment. */
export class PooledReplica {
  readonly index: number;
  readonly #around: ReplicaSurroundings;
  readonly #queue: Job[] = [];
  #thread: ReplicaThread | null = null;
  #running: Job | null = null;
  #restarting: Promise<void> | null = null;
  #crash: Crash | null = null;
  #restarts = 0;
  #restartsInARow = 0;
  #closed = false;
  #weights: WeightsLabel | null = null;

  constructor(index: number, around: ReplicaSurroundings) {
    this.index = index;
    this.#around = around;
  }

  /** The thread that holds the replica now; null when none does. */
  get thread(): ReplicaThread | null {
    return this.#thread;
  }

  /** What the replica's weights are called; null before the first. */
  get weights(): WeightsLabel | null {
    return this.#weights;
  }

  /** See `ReplicaStatus`. */
  get status(): ReplicaStatus {
    const { index: replica } = this;
    const state = this.#closed
      ? "closed"
      : this.#restarting
        ? "restarting"
        : this.#thread === null
          ? "crashed"
          : this.#running
            ? "busy"
            : "idle";
    return { replica, state, queued: this.#queue.length, restarts: this.#restarts, error: this.#lastError() };
  }

  /**
   * Starts the first thread.
   * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT; the thread is gone.
   */
  async start(): Promise<void> {
    await this.#startThread();
  }

  /**
   * Runs a task after those before it.
   * @throws {CheckpointError} the task's own error, or {DistributionError} RANKCAST_REPLICA_CRASHED, RANKCAST_REPLICA_DEADLINE,
   * RANKCAST_REPLICA_UNKILLABLE, RANKCAST_REPLICA_QUEUE_FULL, RANKCAST_CANCELLED, RANKCAST_CLOSED.
   */
  run<T extends ThreadTask["type"]>(task: Extract<ThreadTask, { readonly type: T }>, options: TaskOptions = {}): Promise<ThreadValues[T]> {
    return new Promise<ThreadValues[T]>((resolve, reject) => {
      const job: Job = { task, options, resolve: resolve as (value: unknown) => void, reject };
      const refusal = this.#refusal(job);
      if (refusal) {
        reject(refusal);
        return;
      }
      if (options.first) this.#queue.unshift(job);
      else this.#queue.push(job);
      options.signal?.addEventListener("abort", () => this.#cancel(job), { once: true });
      this.#next();
    });
  }

  /**
   * Takes back what `committed` has done since its last `prepare` or `swap`. A thread that has been started instead of it since has repeated what
   * is taken back: where `isRepeated` says so it is replaced once more.
   */
  async rollBack(committed: ReplicaThread | null, isRepeated: boolean): Promise<void> {
    const isReplaced = this.#restarting !== null || this.#thread !== committed;
    if (!isReplaced || committed === null) {
      if (this.#thread) await this.run({ type: "rollBack" }, { only: this.#thread });
      return;
    }
    await this.#restarting?.catch(() => undefined);
    if (isRepeated && this.#thread) await this.restart();
  }

  /**
   * Ends the thread, if it still runs, and starts a fresh one with the current weights. What runs rejects as crashed, what waits goes on in the
   * fresh thread. Concurrent calls are one restart.
   * @throws {CheckpointError} why the fresh thread did not come up; the replica then counts as crashed.
   */
  restart(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    this.#restarting ??= this.#replace().finally(() => {
      this.#restarting = null;
      this.#next();
    });
    return this.#restarting;
  }

  /** Ends the thread and rejects what waits. Safe to call twice. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const job of this.#queue.splice(0)) job.reject(closedError());
    await this.#thread?.close();
  }

  #refusal({ task, options: { signal } }: Job): CheckpointError | null {
    const { maxQueue = DEFAULT_LIMITS.replicaQueueCalls } = this.#around.options;
    if (this.#closed) return closedError();
    if (signal?.aborted) return cancelledError(signal);
    if (task.type !== "call" || !(this.#running || this.#restarting) || this.#queue.length < maxQueue) return null;
    return new DistributionError("RANKCAST_REPLICA_QUEUE_FULL", `${this.#queue.length} calls wait for replica ${this.index}`, {
      details: { replica: this.index, allowed: maxQueue },
    });
  }

  #cancel(job: Job): void {
    const at = this.#queue.indexOf(job);
    if (at >= 0) this.#queue.splice(at, 1);
    // A running one goes on in its thread; its result has nobody to go to.
    job.reject(cancelledError(job.options.signal));
  }

  /** Begins the next task when nothing runs; without a thread, tasks wait for a restart that is under way and fail otherwise. */
  #next(): void {
    while (!this.#running && !this.#restarting) {
      const job = this.#queue.shift();
      if (!job) return;
      const thread = this.#thread;
      if (thread && (job.options.only === undefined || job.options.only === thread)) {
        void this.#perform(job, thread);
      } else {
        job.reject(crashError(this.index, this.#crash ?? UNKNOWN_CRASH, { name: taskName(job.task), begun: false }));
      }
    }
  }

  async #perform(job: Job, thread: ReplicaThread): Promise<void> {
    this.#running = job;
    job.options.onBegin?.();
    try {
      const timeoutMs = job.options.timeoutMs ?? this.#around.options.timeoutMs;
      let value: unknown = await thread.run(job.task, timeoutMs);
      this.#relabel(job.task, value);
      for (const task of job.options.followedBy?.(value) ?? []) {
        value = await thread.run(task, timeoutMs);
        this.#relabel(task, value);
      }
      job.resolve(value);
      this.#restartsInARow = 0;
    } catch (error) {
      // First what follows from it, so that whoever hears of the failure finds the replica crashed or restarting.
      if (thread.hasEnded) this.#lose(thread, error);
      job.reject(error);
    } finally {
      this.#running = null;
      this.#next();
    }
  }

  #relabel(task: ThreadTask, value: unknown): void {
    if (task.type === "commit" || (task.type === "swap" && value !== null)) this.#weights = task.label;
    if (task.type === "rollBack" && value !== null) this.#weights = value as WeightsLabel;
  }

  async #startThread(): Promise<void> {
    if (this.#closed) throw closedError();
    const { start, options } = this.#around;
    const thread = await takeThread(this.index, options.resourceLimits);
    try {
      await startTask(thread, start, options.startTimeoutMs);
    } catch (error) {
      await thread.close();
      throw error;
    }
    if (this.#closed) {
      await thread.close();
      throw closedError();
    }
    this.#thread = thread;
    this.#crash = null;
    void thread.crashed.then((crash) => {
      // While a task runs, its own failure tells.
      if (!this.#running) this.#lose(thread, crashError(this.index, crash, { name: "its next task", begun: false }));
    });
  }

  /** The thread is gone. */
  #lose(thread: ReplicaThread, error: unknown): void {
    if (this.#thread !== thread) return;
    this.#thread = null;
    this.#crash = thread.crash;
    if (this.#closed || thread.crash?.reason === "restart") return;
    this.#tell({ type: "crashed", replica: this.index, error: asCheckpointError(error) });
    const { restart, maxRestarts } = this.#around.options;
    if (restart !== "automatic" || this.#restartsInARow >= maxRestarts) {
      this.#next();
      return;
    }
    this.#restartsInARow += 1;
    this.restart().catch(() => undefined);
  }

  async #replace(): Promise<void> {
    // A replica that lives is not given up for one that could not come back.
    if (this.#thread) this.#around.reloadSteps();
    try {
      const old = this.#thread;
      if (old) {
        await old.close("restart");
        this.#lose(old, null);
      }
      await this.#startThread();
      await this.#reload();
      this.#restarts += 1;
      this.#tell({ type: "restarted", replica: this.index, generation: this.#around.generation() });
    } catch (error) {
      await this.#thread?.close();
      this.#thread = null;
      this.#crash ??= { reason: "uncaught", exitCode: null, cause: error };
      if (!this.#closed) this.#tell({ type: "restart-failed", replica: this.index, error: asCheckpointError(error) });
      throw error;
    }
  }

  /** Repeats the loads that made the others what they are. */
  async #reload(): Promise<void> {
    const thread = this.#thread;
    const { timeoutMs } = this.#around.options;
    this.#weights = null;
    for (const { delivery, options, label } of this.#around.reloadSteps()) {
      await thread?.run({ type: "prepare", delivery, options }, timeoutMs);
      await thread?.run({ type: "commit", label }, timeoutMs);
      this.#weights = label;
    }
    // None of the steps is to be taken back on its own.
    await thread?.run({ type: "discard" }, timeoutMs);
  }

  #lastError(): CheckpointError | null {
    return this.#crash === null || this.#thread ? null : crashError(this.index, this.#crash, { name: "its next task", begun: false });
  }

  #tell(event: ReplicaEvent): void {
    const { onReplicaEvent } = this.#around.options;
    // On its own turn: an error thrown there is the listener's, not the replica's.
    if (onReplicaEvent) queueMicrotask(() => onReplicaEvent(event));
  }
}

const UNKNOWN_CRASH: Crash = { reason: "exit", exitCode: null, cause: undefined };
