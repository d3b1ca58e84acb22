/** The replicas of a pool as rounds and subscriptions see them: each step goes to all of them, and what a restart repeats follows. */
import type { DType, ReplicaReport, StateDict } from "@rankcast/core";
import type { OrderWish } from "@rankcast/core/runtime";
import type { Foreseen } from "../replica/ahead-copies.ts";
import type { Delivery, KeptSet, ReplicaFacts, ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import { WeightTurns } from "../replica/weight-turns.ts";
import type { WeightsLabel } from "../replica/weights-label.ts";
import { allOrFirstFailure } from "./all-or-first-failure.ts";
import { requireCloneable } from "./pool-options.ts";
import type { PooledReplica, TaskOptions } from "./pooled-replica.ts";
import type { ReloadSteps } from "./reload-steps.ts";
import type { ReplicaThread } from "./replica-thread.ts";
import { stateDictOf } from "./state-dict-of.ts";
import type { ThreadTask, ThreadValues } from "./thread-tasks.ts";

/** See the module comment. */
export class PooledReplicaSet implements ReplicaSet {
  readonly turns = new WeightTurns();
  readonly #replicas: readonly PooledReplica[];
  readonly #reload: ReloadSteps;
  /** Threads that hold a prepared load, by replica. */
  #prepared: (ReplicaThread | null)[] = [];
  /** Threads that have committed the last load or update, by replica. */
  #committed: (ReplicaThread | null)[] = [];

  constructor(replicas: readonly PooledReplica[], reload: ReloadSteps) {
    this.#replicas = replicas;
    this.#reload = reload;
  }

  get count(): number {
    return this.#replicas.length;
  }

  async castWish(options: ReplicaLoadOptions): Promise<DType | null> {
    requireCloneable(options);
    const [first = null, ...others] = await this.#each({ type: "castWish", options });
    return others.every((each) => each === first) ? first : null;
  }

  orderWish(): Promise<OrderWish> {
    return this.#first.run({ type: "orderWish" }, { first: true });
  }

  async foresee(foreseen: Foreseen, options: ReplicaLoadOptions): Promise<readonly number[]> {
    requireCloneable(options);
    return (await this.#each({ type: "foresee", foreseen, options })).flat();
  }

  copyAhead(storages: readonly number[]): Promise<void> {
    return this.#eachAlive({ type: "copyAhead", storages });
  }

  async prepare(delivery: Delivery, options: ReplicaLoadOptions): Promise<void> {
    requireCloneable(options);
    this.#reload.offer(delivery, options);
    this.#prepared = this.#replicas.map(() => null);
    this.#committed = [];
    // The first failure is told at once: the other ranks wait for it. `discard` waits for the rest.
    await Promise.all(
      this.#replicas.map(async (replica, index) => {
        await replica.run({ type: "prepare", delivery, options });
        this.#prepared[index] = replica.thread;
      }),
    );
  }

  async commit(label: WeightsLabel): Promise<readonly ReplicaReport[]> {
    const reports = await allOrFirstFailure(
      this.#replicas.map((replica, index) => this.#commit(replica, this.#prepared[index] ?? null, label)),
    );
    this.#reload.keep(reports, label);
    return reports;
  }

  async swap(kept: KeptSet, options: ReplicaLoadOptions, attach: () => Delivery, label: WeightsLabel): Promise<readonly ReplicaReport[]> {
    let attached: Delivery | undefined;
    const attachOnce = (): Delivery => {
      attached ??= attach();
      return attached;
    };
    this.#reload.begin();
    this.#committed = [];
    // In one go where the set is new to a replica: a call between its steps would use the old weights once more, for each of them.
    const attaching = (swapped: unknown): readonly ThreadTask[] =>
      swapped === null
        ? [
            { type: "prepare", delivery: attachOnce(), options },
            { type: "commit", label },
          ]
        : [];
    const reports = await allOrFirstFailure(
      this.#replicas.map(async (replica, index) => {
        const report = await replica.run({ type: "swap", kept, label }, { first: true, followedBy: attaching });
        this.#committed[index] = replica.thread;
        return report as ReplicaReport;
      }),
    );
    this.#reload.swap(kept, options, label, reports, attachOnce);
    return reports;
  }

  async rollBack(): Promise<void> {
    const isRepeated = this.#reload.rollBack();
    await Promise.allSettled(this.#replicas.map((replica) => replica.rollBack(this.#committed[replica.index] ?? null, isRepeated)));
  }

  async own(): Promise<void> {
    this.#reload.own();
    await this.#each({ type: "own" });
  }

  async discard(): Promise<void> {
    this.#reload.withdraw();
    await this.#eachAlive({ type: "discard" });
  }

  facts(digest: boolean): Promise<readonly ReplicaFacts[]> {
    return this.#each({ type: "facts", digest });
  }

  async stateDict(): Promise<StateDict> {
    return stateDictOf(await this.#first.run({ type: "state" }));
  }

  get #first(): PooledReplica {
    return this.#replicas[0] as PooledReplica;
  }

  async #commit(replica: PooledReplica, thread: ReplicaThread | null, label: WeightsLabel): Promise<ReplicaReport> {
    const report = await replica.run({ type: "commit", label }, { only: thread, first: true });
    this.#committed[replica.index] = thread;
    return report;
  }

  /** One task for every replica that has a thread, whatever comes of it: cleaning up waits for no restart. */
  async #eachAlive(task: ThreadTask & { readonly type: "discard" | "copyAhead" }): Promise<void> {
    const alive = this.#replicas.filter(({ thread }) => thread !== null);
    await Promise.allSettled(alive.map((replica) => replica.run(task, { only: replica.thread })));
  }

  /** One task for every replica at once; waits for all, so that no thread still works when the first failure is reported. */
  #each<T extends ThreadTask["type"]>(
    task: Extract<ThreadTask, { readonly type: T }>,
    options: TaskOptions = {},
  ): Promise<ThreadValues[T][]> {
    return allOrFirstFailure(this.#replicas.map((replica) => replica.run<T>(task, options)));
  }
}
