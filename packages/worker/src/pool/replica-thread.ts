/**
 * One thread of one replica, from start to end: a persistent single-thread Piscina. Replicas have identity and state, so they never share a
 * pool, and a thread that ended is never used again: Piscina would start a fresh one that holds no replica. The only file that knows piscina.
 */
import type { ResourceLimits, Worker } from "node:worker_threads";
import { DistributionError, type ReplicaReport } from "@rankcast/core";
import { fromErrorRecord } from "@rankcast/core/runtime";
import { Piscina } from "piscina";
import { type Crash, crashError, judgeCrash } from "./crash.ts";
import { endInSpiteOfStuckThread } from "./stuck-threads.ts";
import { isLastWords, REPEATED, type ThreadResult, type ThreadTask, type ThreadValues, taskName } from "./thread-tasks.ts";
import { unpackValue } from "./unpack-value.ts";

/** How long a thread that is told to end may take; an endless loop ends within milliseconds, a system call never. */
const END_GRACE_MS = 500;
/** Piscina rejects a task a moment before the thread's own end is reported; longer, and the thread has not ended. */
const EXIT_NOTICE_MS = 1000;

/** See the module comment. */
export class ReplicaThread {
  readonly replica: number;
  /** Resolves when the thread has ended by itself. */
  readonly crashed: Promise<Crash>;
  readonly #pool: Piscina;
  readonly #worker: Worker;
  readonly #exit: Promise<void>;
  #thrown: { readonly cause: unknown } | null = null;
  #closed: Crash | "closed" | null = null;
  #crash: Crash | null = null;
  /** Of the thread's last swap. */
  #swapReport: ReplicaReport | null = null;

  /** Starts the thread. @throws {DistributionError} RANKCAST_REPLICA_CRASHED when there is none to be had. */
  constructor(replica: number, resourceLimits: ResourceLimits | undefined) {
    this.replica = replica;
    this.#pool = new Piscina({
      filename: new URL("./thread-main.js", import.meta.url).href,
      name: "runTask",
      minThreads: 1,
      maxThreads: 1,
      // An idle thread must keep its event loop: sockets, timers and finalisers of the replica live there.
      atomics: "disabled",
      recordTiming: false,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    // Piscina reports a crash here as well as on the task; without a listener the process would end.
    this.#pool.on("error", () => undefined);
    this.#pool.on("message", (message: unknown) => {
      if (isLastWords(message)) this.#thrown = { cause: unpackValue(message.lastWords) };
    });
    const [worker] = this.#pool.threads;
    if (!worker) throw new DistributionError("RANKCAST_REPLICA_CRASHED", `replica ${replica} got no thread`, { details: { replica } });
    this.#worker = worker;
    worker.once("error", (error) => {
      // The thread's own last words keep classes and fields that this copy of the error has lost.
      this.#thrown ??= { cause: error };
    });
    this.#exit = new Promise((resolve) => void worker.once("exit", () => resolve()));
    this.crashed = new Promise((resolve) => {
      worker.once("exit", (exitCode) => {
        if (this.#closed !== null) return;
        this.#crash = judgeCrash(exitCode, this.#thrown);
        void this.#pool.destroy();
        resolve(this.#crash);
      });
    });
  }

  /** How the thread ended; null while it runs, or when it was closed with the pool. */
  get crash(): Crash | null {
    return this.#crash ?? (this.#closed === "closed" ? null : this.#closed);
  }

  /** Whether the thread has ended or was told to. */
  get hasEnded(): boolean {
    return this.#crash !== null || this.#closed !== null;
  }

  /**
   * Runs one task; the caller sees to it that there is one at a time. With `timeoutMs` the thread is ended when that time is over.
   * @throws {CheckpointError} the task's own error; {DistributionError} RANKCAST_REPLICA_CRASHED when the thread ended,
   * RANKCAST_REPLICA_DEADLINE or RANKCAST_REPLICA_UNKILLABLE when it took too long, RANKCAST_CLOSED when it was closed meanwhile.
   */
  async run<T extends ThreadTask["type"]>(
    task: Extract<ThreadTask, { readonly type: T }>,
    timeoutMs: number | undefined,
  ): Promise<ThreadValues[T]> {
    const result = await this.#withDeadline(this.#post(task), timeoutMs, taskName(task));
    if (!result.ok) throw reviveError(result);
    return (task.type === "swap" ? this.#reportOf(result.value) : result.value) as ThreadValues[T];
  }

  /**
   * Ends the thread; resolves when it is gone, false when it cannot be ended. What is running rejects: with RANKCAST_CLOSED, or as crashed
   * for the given reason.
   */
  async close(reason: Crash["reason"] | null = null): Promise<boolean> {
    this.#closed ??= reason === null ? "closed" : { reason, exitCode: null, cause: undefined };
    if (this.#crash !== null) return true;
    void this.#pool.destroy();
    const ended = await within(this.#exit, END_GRACE_MS);
    if (!ended) {
      // Ending it made the thread hold the process; whether it ever ends is not ours to wait for.
      this.#worker.unref();
      endInSpiteOfStuckThread();
    }
    return ended;
  }

  /** The same objects again and again need not cross threads. */
  #reportOf(swapped: unknown): ReplicaReport | null {
    if (swapped === null) return null;
    if (swapped !== REPEATED) this.#swapReport = swapped as ReplicaReport;
    return this.#swapReport;
  }

  async #post(task: ThreadTask): Promise<ThreadResult> {
    try {
      return (await this.#pool.run(task)) as ThreadResult;
    } catch (cause) {
      if ((cause as Error | null)?.name === "DataCloneError")
        throw new DistributionError("RANKCAST_REPLICA_VALUE", `${taskName(task)} cannot cross threads: ${(cause as Error).message}`, {
          cause,
        });
      if (this.#closed === null) await within(this.#exit, EXIT_NOTICE_MS);
      throw this.#ending(taskName(task), cause);
    }
  }

  #ending(name: string, cause: unknown): DistributionError {
    if (this.#closed === "closed") {
      return new DistributionError("RANKCAST_CLOSED", `the pool was closed during ${name}`, { cause });
    }
    return crashError(this.replica, this.#closed ?? this.#crash ?? { reason: "uncaught", exitCode: null, cause }, { name, begun: true });
  }

  async #withDeadline(work: Promise<ThreadResult>, timeoutMs: number | undefined, name: string): Promise<ThreadResult> {
    if (timeoutMs === undefined) return work;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), timeoutMs);
    });
    const first = await Promise.race([work, late]).finally(() => clearTimeout(timer));
    if (first !== "late") return first;
    work.catch(() => undefined);
    const details = { replica: this.replica, task: name, timeoutMs };
    if (await this.close("deadline"))
      throw new DistributionError("RANKCAST_REPLICA_DEADLINE", `replica ${this.replica} took more than ${timeoutMs} ms for ${name}`, {
        details,
      });
    throw new DistributionError(
      "RANKCAST_REPLICA_UNKILLABLE",
      `replica ${this.replica} took more than ${timeoutMs} ms for ${name} and its thread cannot be ended`,
      { details },
    );
  }
}

const TURN_MS = 50;

/**
 * Whether `event` happens within the time, as short turns that this thread was really given: on a machine with far too much to do the other
 * thread gets its processor as late as this one.
 */
function within(event: Promise<void>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let left = Math.ceil(timeoutMs / TURN_MS);
    const turn = (): void => {
      left -= 1;
      if (left > 0) timer = setTimeout(turn, TURN_MS);
      else resolve(false);
    };
    let timer = setTimeout(turn, TURN_MS);
    void event.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** A task's error; its cause (a user's error with fields of any type, a thrown symbol) comes as the value it is. */
function reviveError({ error: record, thrown }: ThreadResult & { readonly ok: false }): Error {
  const error = fromErrorRecord(record);
  if (thrown) error.cause = unpackValue(thrown);
  return error;
}
