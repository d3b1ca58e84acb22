/** The replicas of one rank, each in a thread of its own. */
import { DistributionError, type LoadReport, type StateDict } from "@rankcast/core";
import type { WeightsLabel } from "../replica/weights-label.ts";
import { allOrFirstFailure } from "./all-or-first-failure.ts";
import { packValue } from "./pack-value.ts";
import {
  compilePoolOptions,
  type PoolGroup,
  type PoolReply,
  type ReplicaCallOptions,
  type ReplicaPoolOptions,
  type ReplicaStatus,
  requireCall,
} from "./pool-options.ts";
import { PooledReplica } from "./pooled-replica.ts";
import { PooledReplicaSet } from "./pooled-replica-set.ts";
import { ReloadSteps } from "./reload-steps.ts";
import { startReplicas } from "./start-replicas.ts";
import { stateDictOf } from "./state-dict-of.ts";
import { unpackValue } from "./unpack-value.ts";
import type { SubscribeOptions, WeightSubscription } from "./weight-subscription.ts";

/**
 * A rank's pool. `load` and `update` are collective: every rank of the group calls them, and all resolve or reject alike.
 * `await using` closes it.
 */
export class ReplicaPool<Options> implements AsyncDisposable {
  readonly #group: PoolGroup<Options>;
  readonly #replicas: readonly PooledReplica[];
  readonly #reload: ReloadSteps;
  /** The load or update that is under way. */
  #round: Promise<unknown> = Promise.resolve();
  readonly #set: PooledReplicaSet;
  #closed = false;
  #subscription: WeightSubscription | null = null;

  private constructor(group: PoolGroup<Options>, replicas: readonly PooledReplica[], reload: ReloadSteps) {
    this.#group = group;
    this.#replicas = replicas;
    this.#reload = reload;
    this.#set = new PooledReplicaSet(replicas, reload);
  }

  /**
   * Starts all replicas, side by side.
   * @throws {DistributionError} RANKCAST_USAGE, RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT of the first
   * replica that failed; no thread stays behind.
   */
  static async create<Options>(group: PoolGroup<Options>, options: ReplicaPoolOptions): Promise<ReplicaPool<Options>> {
    const compiled = compilePoolOptions(options);
    const { rank, localRank, worldSize, noMmap } = group;
    const module = options.replica === undefined ? null : String(options.replica);
    const context = { rank, localRank, worldSize, replica: 0, options: options.options ?? null };
    const reload = new ReloadSteps(noMmap);
    const around = {
      options: compiled,
      start: { type: "start", noMmap, module, context },
      reloadSteps: () => reload.list(),
      generation: () => group.generation,
    } as const;
    const replicas = Array.from({ length: compiled.replicas }, (_, index) => new PooledReplica(index, around));
    await startReplicas(replicas);
    return new ReplicaPool(group, replicas, reload);
  }

  /** Number of replicas. */
  get size(): number {
    return this.#replicas.length;
  }

  /** Every replica as it is now, by index. */
  get replicas(): readonly ReplicaStatus[] {
    return this.#replicas.map(({ status }) => status);
  }

  /**
   * Collective: loads `weights` into every replica of every rank.
   * @throws {CheckpointError} the same root cause on every rank; no replica anywhere was touched unless committing itself failed.
   */
  load(weights: string, options?: Options): Promise<LoadReport> {
    this.#assertOpen();
    return this.#follow(this.#group.load(this.#set, weights, options));
  }

  /**
   * Collective: generation + 1 from the state dict of rank `src` (others pass null).
   * @throws {CheckpointError} the same root cause on every rank; every replica stays on its generation.
   */
  update(stateDict: StateDict | null, options: { readonly src?: number; readonly version?: string } = {}): Promise<LoadReport> {
    this.#assertOpen();
    return this.#follow(this.#group.update(this.#set, stateDict, options));
  }

  /**
   * Takes published weights from now on (`group.publish` on any rank of any node), between the calls of each replica. Not collective; `load` and `update`
   * may come in between, one after the other.
   * @throws {DistributionError} RANKCAST_CLOSED when the pool is closed, RANKCAST_USAGE when it has a subscription.
   */
  subscribe(options: SubscribeOptions = {}): WeightSubscription {
    this.#assertOpen();
    this.#subscription = this.#group.subscribe(this.#set, options);
    return this.#subscription;
  }

  /**
   * Calls an exported function of the replica module in one replica's thread (default 0). Calls of one replica queue, each runs at most once.
   * Arguments and results are copied as structured clone does; Tensors, StateDicts, errors and symbols keep what they are, shared memory stays
   * shared.
   * @throws {DistributionError} RANKCAST_REPLICA_FUNCTION (the user's error is the cause), RANKCAST_REPLICA_CRASHED (`details.begun` says whether
   * the call had begun), RANKCAST_REPLICA_DEADLINE, RANKCAST_REPLICA_UNKILLABLE, RANKCAST_REPLICA_VALUE, RANKCAST_REPLICA_QUEUE_FULL, RANKCAST_CANCELLED.
   */
  async run(name: string, args?: unknown, options: ReplicaCallOptions = {}): Promise<unknown> {
    requireCall(name, options);
    const { replica = 0, ...task } = options;
    return this.#call(this.#replica(replica), name, args, task);
  }

  /**
   * As `run`, and says which weights the replica had when the call began: a rollout can be told apart from one with older weights.
   * @throws {DistributionError} as `run`.
   */
  async call(name: string, args?: unknown, options: ReplicaCallOptions = {}): Promise<PoolReply> {
    requireCall(name, options);
    const { replica: index = 0, ...task } = options;
    const replica = this.#replica(index);
    let weights: WeightsLabel | null = null;
    let behind = 0;
    const onBegin = (): void => {
      weights = replica.weights;
      const number = weights?.number ?? null;
      behind = number === null ? 0 : Math.max(0, (this.#subscription?.newest ?? number) - number);
    };
    const value = await this.#call(replica, name, args, task, onBegin);
    const { generation = -1, version = "" } = (weights as WeightsLabel | null) ?? {};
    return { value, replica: index, generation, version, behind };
  }

  /** Calls the function in every replica; results by replica index. @throws {DistributionError} as `run`, when all calls have ended. */
  async runAll(name: string, args?: unknown, options: Omit<ReplicaCallOptions, "replica"> = {}): Promise<unknown[]> {
    requireCall(name, options);
    this.#assertOpen();
    return allOrFirstFailure(this.#replicas.map((replica) => this.#call(replica, name, args, options)));
  }

  /**
   * Replaces the thread of one replica and gives it the weights of the current generation, as every other replica got them; what its functions
   * and training changed since is lost. Not collective; waits for a load or update that is under way. A call that runs rejects as crashed, calls
   * that wait go on afterwards.
   * @throws {DistributionError} RANKCAST_REPLICA_NOT_RELOADABLE (a replica that lives stays as it is), or why the fresh thread did not start; the
   * replica then counts as crashed.
   */
  async restart(replica: number): Promise<ReplicaStatus> {
    const wanted = this.#replica(replica);
    // Between prepare and commit a fresh thread would break the round for everyone; a crashed one has broken it already.
    if (wanted.thread) await this.#round;
    await wanted.restart();
    return wanted.status;
  }

  /**
   * A copy of one replica's state dict (default replica 0), for saving or for `update`.
   * @throws {DistributionError} RANKCAST_REPLICA_CRASHED when the replica's thread has ended.
   */
  async stateDict(options: { readonly replica?: number } = {}): Promise<StateDict> {
    return stateDictOf(await this.#replica(options.replica ?? 0).run({ type: "state" }));
  }

  /** Ends all threads, and the subscription. Calls that run reject. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#group.poolClosed(this);
    const ended = Promise.all(this.#replicas.map((replica) => replica.close()));
    await this.#subscription?.closeWith(ended);
    await ended;
    this.#reload.release();
  }

  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call(
    replica: PooledReplica,
    name: string,
    args: unknown,
    options: Omit<ReplicaCallOptions, "replica">,
    onBegin: () => void = () => undefined,
  ): Promise<unknown> {
    return unpackValue(await replica.run({ type: "call", name, args: packValue(args, "args") }, { ...options, onBegin }));
  }

  #follow(round: Promise<LoadReport>): Promise<LoadReport> {
    this.#round = round.catch(() => undefined);
    return round;
  }

  #replica(index: number): PooledReplica {
    this.#assertOpen();
    const replica = this.#replicas[index];
    if (replica) return replica;
    throw new DistributionError("RANKCAST_USAGE", `there is no replica ${index}; the pool has ${this.size}`, {
      details: { option: "replica" },
    });
  }

  #assertOpen(): void {
    if (this.#closed) throw new DistributionError("RANKCAST_CLOSED", "the pool is closed", {});
  }
}
