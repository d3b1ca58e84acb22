/** The replicas of one rank, each in a thread of its own. */
import { DistributionError, type LoadReport, type ReplicaReport, StateDict, Storage, Tensor } from "@rankcast/core";
import type { ReplicaContext } from "../replica/replica-context.ts";
import type { Delivery, KeptSet, ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import { ReplicaThread } from "./replica-thread.ts";
import type { ThreadTask, ThreadValues } from "./thread-tasks.ts";
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
}

/** What a pool needs of its group; kept narrow so that a pool can be tested without one. */
export interface PoolGroup<Options> {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  readonly noMmap: boolean;
  load(replicas: ReplicaSet, weights: string, options: Options | undefined): Promise<LoadReport>;
  update(replicas: ReplicaSet, stateDict: StateDict | null, options: { readonly src?: number }): Promise<LoadReport>;
  subscribe(replicas: ReplicaSet, options: SubscribeOptions): WeightSubscription;
  poolClosed(pool: { close(): Promise<void> }): void;
}

const START_TIMEOUT_MS = 60_000;

/**
 * A rank's pool. `load` and `update` are collective: every rank of the group calls them, and all resolve or reject alike.
 * `await using` closes it.
 */
export class ReplicaPool<Options> implements AsyncDisposable {
  readonly #group: PoolGroup<Options>;
  readonly #threads: readonly ReplicaThread[];
  #closed = false;

  private constructor(group: PoolGroup<Options>, threads: readonly ReplicaThread[]) {
    this.#group = group;
    this.#threads = threads;
  }

  /**
   * Starts all replicas at once.
   * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT; no thread stays behind.
   */
  static async create<Options>(group: PoolGroup<Options>, options: ReplicaPoolOptions): Promise<ReplicaPool<Options>> {
    const { replicas = 1, startTimeoutMs = START_TIMEOUT_MS } = options;
    if (!Number.isInteger(replicas) || replicas < 1) {
      throw new DistributionError("RANKCAST_USAGE", `replicas must be a whole number above 0, not ${replicas}`, {
        details: { option: "replicas" },
      });
    }
    const threads = Array.from({ length: replicas }, (_, replica) => new ReplicaThread(replica));
    const { rank, localRank, worldSize } = group;
    const module = options.replica === undefined ? null : String(options.replica);
    const starts = threads.map((thread) => {
      const context: ReplicaContext = { rank, localRank, worldSize, replica: thread.replica, options: options.options ?? null };
      return thread.start({ module, context, startTimeoutMs, noMmap: group.noMmap });
    });
    const [failure] = (await Promise.allSettled(starts)).filter((each) => each.status === "rejected");
    if (failure) {
      await Promise.all(threads.map((thread) => thread.close()));
      throw failure.reason;
    }
    return new ReplicaPool(group, threads);
  }

  /** Number of replicas. */
  get size(): number {
    return this.#threads.length;
  }

  /**
   * Collective: loads `weights` into every replica of every rank.
   * @throws {CheckpointError} the same root cause on every rank; no replica anywhere was touched unless committing itself failed.
   */
  load(weights: string, options?: Options): Promise<LoadReport> {
    this.#assertOpen();
    return this.#group.load(this.#replicaSet(), weights, options);
  }

  /**
   * Collective: generation + 1 from the state dict of rank `src` (others pass null).
   * @throws {CheckpointError} the same root cause on every rank; every replica stays on its generation.
   */
  update(stateDict: StateDict | null, options: { readonly src?: number } = {}): Promise<LoadReport> {
    this.#assertOpen();
    return this.#group.update(this.#replicaSet(), stateDict, options);
  }

  /**
   * Takes published weights from now on (`group.publish` on any rank), between the calls of each replica. Not collective; `load` and `update`
   * may come in between.
   * @throws {DistributionError} RANKCAST_CLOSED when the pool is closed.
   */
  subscribe(options: SubscribeOptions = {}): WeightSubscription {
    this.#assertOpen();
    return this.#group.subscribe(this.#replicaSet(), options);
  }

  /**
   * Calls an exported function of the replica module in one replica's thread (default 0). Calls of one replica queue.
   * @throws {DistributionError} RANKCAST_REPLICA_FUNCTION (the user's error is the cause), RANKCAST_REPLICA_CRASHED.
   */
  async run(name: string, args?: unknown, options: { readonly replica?: number } = {}): Promise<unknown> {
    return this.#thread(options.replica ?? 0).run({ type: "call", name, args });
  }

  /** Calls the function in every replica; results by replica index. @throws {DistributionError} as `run`. */
  runAll(name: string, args?: unknown): Promise<unknown[]> {
    this.#assertOpen();
    return this.#each({ type: "call", name, args });
  }

  /**
   * A copy of one replica's state dict (default replica 0), for saving or for `update`.
   * @throws {DistributionError} RANKCAST_REPLICA_CRASHED when the replica's thread has ended.
   */
  async stateDict(options: { readonly replica?: number } = {}): Promise<StateDict> {
    const exported = await this.#thread(options.replica ?? 0).run({ type: "state" });
    const stateDict = new StateDict();
    for (const { name, dtype, shape, bytes } of exported)
      stateDict.set(name, new Tensor({ dtype, shape, storage: new Storage(bytes.buffer, 0, bytes.byteLength) }));
    return stateDict;
  }

  /** Ends all threads. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#group.poolClosed(this);
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #replicaSet(): ReplicaSet {
    return {
      count: this.size,
      prepare: async (delivery, options) => {
        requireCloneable(options);
        await this.#each({ type: "prepare", delivery, options });
      },
      commit: () => this.#each({ type: "commit" }),
      swap: (kept, options, attach) => this.#swap(kept, options, attach),
      rollBack: async () => void (await Promise.allSettled(this.#threads.map((thread) => thread.run({ type: "rollBack" })))),
      own: async () => void (await this.#each({ type: "own" })),
      discard: async () => void (await Promise.allSettled(this.#threads.map((thread) => thread.run({ type: "discard" })))),
      facts: (digest) => this.#each({ type: "facts", digest }),
      stateDict: () => this.stateDict(),
    };
  }

  async #swap(kept: KeptSet, options: ReplicaLoadOptions, attach: () => Delivery): Promise<readonly ReplicaReport[]> {
    const swapped = await this.#each({ type: "swap", kept, options });
    if (!swapped.includes(null)) return swapped as readonly ReplicaReport[];
    const delivery = attach();
    const reports = swapped.map(async (report, replica) => {
      if (report) return report;
      await this.#thread(replica).run({ type: "prepare", delivery, options });
      return this.#thread(replica).run({ type: "commit" });
    });
    return Promise.all(reports);
  }

  /** One task for every replica at once; waits for all, so that no thread still works when the first failure is reported. */
  async #each<T extends ThreadTask["type"]>(task: Extract<ThreadTask, { readonly type: T }>): Promise<ThreadValues[T][]> {
    const settled = await Promise.allSettled(this.#threads.map((thread) => thread.run<T>(task)));
    return settled.map((each) => {
      if (each.status === "rejected") throw each.reason;
      return each.value;
    });
  }

  #thread(replica: number): ReplicaThread {
    this.#assertOpen();
    const thread = this.#threads[replica];
    if (thread) return thread;
    throw new DistributionError("RANKCAST_USAGE", `there is no replica ${replica}; the pool has ${this.size}`, {
      details: { option: "replica" },
    });
  }

  #assertOpen(): void {
    if (this.#closed) throw new DistributionError("RANKCAST_CLOSED", "the pool is closed", {});
  }
}

/** A function in the options would end the task with an error that names nothing. */
function requireCloneable(options: ReplicaLoadOptions): void {
  const inRules = options.revKeys?.some(([, replacement]) => typeof replacement === "function");
  const option = inRules ? "revKeys" : Object.entries(options).find(([, value]) => typeof value === "function")?.[0];
  if (option === undefined) return;
  throw new DistributionError("RANKCAST_USAGE", `${option} holds a function, which cannot cross to the threads of a pool`, {
    details: { option },
    remedy: "Use a replacement template, or load into a model of the rank's main thread.",
  });
}
