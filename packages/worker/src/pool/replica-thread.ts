/**
 * One replica's thread: a persistent single-thread Piscina. Replicas have identity and state, so they never share a pool; tasks queue per
 * replica. The only file that knows piscina.
 */
import { DistributionError } from "@rankcast/core";
import { fromErrorRecord } from "@rankcast/core/runtime";
import { Piscina } from "piscina";
import type { ReplicaContext } from "../replica/replica-context.ts";
import type { ThreadResult, ThreadTask, ThreadValues } from "./thread-tasks.ts";

/** What a thread is started with. */
export interface ReplicaThreadOptions {
  /** URL of the replica module; null builds the replica from the checkpoint. */
  readonly module: string | null;
  readonly context: ReplicaContext;
  readonly startTimeoutMs: number;
  readonly noMmap: boolean;
}

/** See the module comment. Made by `startReplicaThread`. */
export class ReplicaThread {
  readonly replica: number;
  readonly #pool: Piscina;
  #state: "starting" | "ready" | "crashed" | "closed" = "starting";

  constructor(replica: number) {
    this.replica = replica;
    this.#pool = new Piscina({
      filename: new URL("./thread-main.js", import.meta.url).href,
      name: "runTask",
      minThreads: 1,
      maxThreads: 1,
      // An idle thread must keep its event loop: sockets, timers and finalisers of the replica live there.
      atomics: "disabled",
      recordTiming: false,
    });
    // Piscina reports a crash here as well as on the task; without a listener the process would end.
    this.#pool.on("error", () => {
      if (this.#state !== "closed") this.#state = "crashed";
    });
  }

  /**
   * Runs one task after those before it.
   * @throws {CheckpointError} the task's own error, or {DistributionError} RANKCAST_REPLICA_CRASHED when the thread ended.
   */
  async run<T extends ThreadTask["type"]>(task: Extract<ThreadTask, { readonly type: T }>): Promise<ThreadValues[T]> {
    if (this.#state === "crashed") throw this.#crash("has ended earlier", undefined);
    let result: ThreadResult;
    try {
      result = (await this.#pool.run(task)) as ThreadResult;
    } catch (cause) {
      if (this.#state === "closed")
        throw new DistributionError("RANKCAST_CLOSED", "the pool was closed while a task was running", { cause });
      // Piscina starts a fresh thread after a crash; it holds no replica, so using it would be wrong.
      this.#state = "crashed";
      throw this.#crash(`ended during ${task.type}: ${cause instanceof Error ? cause.message : String(cause)}`, cause);
    }
    if (result.ok) return result.value as ThreadValues[T];
    throw fromErrorRecord(result.error);
  }

  /**
   * Imports the replica module and builds the model.
   * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT.
   */
  async start(options: ReplicaThreadOptions): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new DistributionError(
            "RANKCAST_REPLICA_START_TIMEOUT",
            `replica ${this.replica} did not start within ${options.startTimeoutMs} ms`,
            {
              details: { replica: this.replica, startTimeoutMs: options.startTimeoutMs },
            },
          ),
        );
      }, options.startTimeoutMs);
    });
    try {
      await Promise.race([this.run({ type: "start", noMmap: options.noMmap, module: options.module, context: options.context }), timeout]);
      this.#state = "ready";
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the thread at once. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    await this.#pool.destroy();
  }

  #crash(what: string, cause: unknown): DistributionError {
    return new DistributionError("RANKCAST_REPLICA_CRASHED", `the thread of replica ${this.replica} ${what}`, {
      details: { replica: this.replica },
      cause,
    });
  }
}
