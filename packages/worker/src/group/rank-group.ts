/** The collective operations of one rank. */
import { DistributionError, type LoadReport, type Module, type StateDict } from "@rankcast/core";
import {
  DURATION_MS,
  nativeMemory,
  type OptionShape,
  type OptionShapes,
  oneOf,
  type RankIdentity,
  requireArgument,
  requireModule,
  requireOptions,
  TEXT,
  TEXTS_BY_NAME,
  TensorCopier,
  wholeNumber,
} from "@rankcast/core/runtime";
import type { ReplicaPoolOptions } from "../pool/pool-options.ts";
import { ReplicaPool } from "../pool/replica-pool.ts";
import type { SubscribeOptions, WeightSubscription } from "../pool/weight-subscription.ts";
import { ReplicaHost } from "../replica/replica-host.ts";
import { localReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import { Collectives, type UpdateOptions } from "./collectives.ts";
import type { CoordinatorThread } from "./coordinator-thread.ts";
import { LiveWeights } from "./live-weights.ts";
import type { GroupLoadOptions } from "./load-options.ts";
import { resumeFrom, type SaveOptions, type SavingGroup, saveCheckpoint } from "./save-checkpoint.ts";
import { checkWatchArguments, type WatchedCheckpoint, type WatchOptions, watchCheckpoints } from "./watch-checkpoints.ts";

/** What `joinGroup` has found out. */
export interface RankGroupParts {
  readonly session: RankSession;
  readonly identity: RankIdentity;
  readonly thread: CoordinatorThread | null;
  readonly noMmap: boolean;
}

/** A plain Map is none: what a StateDict has beside it travels, too. */
const STATE_DICT: OptionShape = {
  expected: "a StateDict",
  fits: (value) => value instanceof Map && "metadata" in value && "extraState" in value,
};
const JSON_VALUE: OptionShape = { expected: "a JSON value", fits: isJson };
const PUBLISH_SHAPES: OptionShapes = new Map([["version", TEXT]]);
const BARRIER_SHAPES: OptionShapes = new Map([["timeoutMs", DURATION_MS]]);
const SAVE_SHAPES: OptionShapes = new Map([
  ["step", wholeNumber(0, Number.MAX_SAFE_INTEGER)],
  ["shards", oneOf("one", "ranks")],
  ["metadata", TEXTS_BY_NAME],
  ["keep", wholeNumber(1, Number.MAX_SAFE_INTEGER)],
]);

/**
 * A rank's membership in its job. Every method that says "collective" must be called by all ranks in the same order; it resolves or rejects
 * alike on all of them. Collectives of one rank run one after the other.
 */
export class RankGroup implements AsyncDisposable {
  readonly #parts: RankGroupParts;
  readonly #hosts = new WeakMap<Module, ReplicaHost>();
  readonly #pools = new Set<{ close(): Promise<void> }>();
  readonly #copier: TensorCopier;
  readonly #live: LiveWeights;
  readonly #collectives: Collectives;
  #closed = false;

  constructor(parts: RankGroupParts) {
    const { session, identity, noMmap } = parts;
    this.#parts = parts;
    this.#copier = new TensorCopier(nativeMemory(noMmap));
    this.#collectives = new Collectives(session, identity, noMmap, this.#copier);
    this.#live = new LiveWeights(session, noMmap, this.#copier, () => this.generation);
  }

  /** Global rank, 0 … worldSize - 1. */
  get rank(): number {
    return this.#parts.identity.rank;
  }
  /** Rank within the node. */
  get localRank(): number {
    return this.#parts.identity.localRank;
  }
  /** Index of the node. */
  get nodeRank(): number {
    return this.#parts.identity.nodeRank;
  }
  /** Ranks of the job. */
  get worldSize(): number {
    return this.#parts.identity.worldSize;
  }
  /** Ranks of this node. */
  get localWorldSize(): number {
    return this.#parts.identity.localWorldSize;
  }
  /** Version of the weights that the last successful collective left: 0 after the first load, -1 before. */
  get generation(): number {
    return this.#collectives.generation;
  }

  /**
   * Collective: loads `weights` into `model` on every rank.
   * @throws {CheckpointError} the same root cause on every rank; no model was touched unless committing itself failed.
   */
  async loadModelCheckpoint(model: Module, weights: string, options: GroupLoadOptions = {}): Promise<LoadReport> {
    requireModule(model);
    return this.#collectives.load(localReplicaSet(this.#hostOf(model)), weights, options);
  }

  /**
   * Collective: builds a model from the checkpoint itself on every rank and loads it; for programs that have no model class.
   * @throws {CheckpointError} the same root cause on every rank.
   */
  async loadCheckpoint(weights: string, options: GroupLoadOptions = {}): Promise<{ readonly model: Module; readonly report: LoadReport }> {
    const host = new ReplicaHost(null);
    const report = await this.#collectives.load(localReplicaSet(host), weights, options);
    if (!host.model) throw new DistributionError("RANKCAST_PROTOCOL", "a load passed without a model", {});
    this.#hosts.set(host.model, host);
    return { model: host.model, report };
  }

  /**
   * Collective weight update: generation + 1 on every rank from the state dict of rank `src`; the others pass null. Goes into the model (or
   * pool) of the last load.
   * @throws {CheckpointError} the same root cause on every rank; every replica stays on its generation.
   */
  broadcastStateDict(stateDict: StateDict | null, options: UpdateOptions = {}): Promise<LoadReport> {
    this.#open();
    const replicas = this.#collectives.last;
    if (!replicas) {
      throw new DistributionError(
        "RANKCAST_USAGE",
        "broadcastStateDict needs replicas: load a checkpoint into a model or a pool first",
        {},
      );
    }
    return this.#collectives.update(replicas, stateDict, options);
  }

  /**
   * Publishes weights without waiting for anybody: one copy into shared memory, then subscribers of every node take them between their steps. Not
   * collective. A version may name only some tensors (an adapter, a part of the model): replicas keep all others as they are.
   * When every memory set is still looked at (a subscriber of policy `every` that does not keep up) it resolves later, and the state dict must not
   * change until then.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room; {DistributionError} RANKCAST_CLOSED; {CheckpointError} the root cause once the job has
   * failed.
   */
  async publish(stateDict: StateDict, options: { readonly version?: string } = {}): Promise<void> {
    requireArgument("stateDict", stateDict, STATE_DICT);
    requireOptions(options, PUBLISH_SHAPES);
    this.#open();
    return this.#live.publish(stateDict, options.version ?? "");
  }

  /** Takes published weights into a model of the main thread; pools have a `subscribe` of their own. Close it before the group. */
  subscribe(model: Module, options: SubscribeOptions = {}): WeightSubscription {
    requireModule(model);
    this.#open();
    return this.#live.subscribe(localReplicaSet(this.#hostOf(model)), options);
  }

  /**
   * Waits until every rank stands at the barrier of this name.
   * @throws {CheckpointError} the same root cause on every rank: timeout (names the missing ranks), a lost rank, an abort.
   */
  async barrier(name = "", options: { readonly timeoutMs?: number } = {}): Promise<void> {
    requireArgument("name", name, TEXT);
    requireOptions(options, BARRIER_SHAPES);
    return this.#open()
      .arrive({ barrier: `user/${name}`, digest: "", ...options })
      .then(() => undefined);
  }

  /**
   * Collective: gives every rank what all ranks brought, by rank. JSON values.
   * @throws {CheckpointError} the same root cause on every rank.
   */
  async allGather(value: unknown, name = ""): Promise<readonly unknown[]> {
    requireArgument("value", value, JSON_VALUE);
    requireArgument("name", name, TEXT);
    this.#open();
    return this.#collectives.gather(`user/${name}`, value);
  }

  /**
   * Collective: saves the weights of the last load or update from the live replicas into `directory`, as `step-N.safetensors` or (`shards: "ranks"`)
   * as a folder of one file per rank. The checkpoint appears whole or not at all.
   * @returns its path. @throws {CheckpointError} the same root cause on every rank; nothing half-written stays.
   */
  async save(directory: string, options: SaveOptions = {}): Promise<string> {
    requireArgument("directory", directory, TEXT);
    requireOptions(options, SAVE_SHAPES);
    this.#open();
    return saveCheckpoint(this.#saving, directory, options);
  }

  /**
   * Collective: the newest complete checkpoint of a folder as rank 0 sees it, null when there is none; the same answer on every rank.
   * @throws {CheckpointError} the same root cause on every rank when the folder cannot be read.
   */
  async resume(directory: string): Promise<WatchedCheckpoint | null> {
    requireArgument("directory", directory, TEXT);
    this.#open();
    return resumeFrom(this.#saving, directory);
  }

  /**
   * Collective: new checkpoints of a folder, a file, a hub repository or an object as they appear; load each one:
   * `for await (const { weights } of group.watch("runs/7")) await pool.load(weights);`
   * @throws {CheckpointError} the same root cause on every rank when the target cannot be read.
   */
  watch(target: string, options: WatchOptions = {}): AsyncGenerator<WatchedCheckpoint, void> {
    checkWatchArguments(target, options);
    this.#open();
    return watchCheckpoints(this.#saving, target, options);
  }

  /**
   * Starts this rank's replicas, each in a thread. Not collective.
   * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT.
   */
  async createPool(options: ReplicaPoolOptions): Promise<ReplicaPool<GroupLoadOptions>> {
    this.#open().reportPhase("building replicas");
    const { rank, localRank, worldSize } = this;
    const generation = (): number => this.generation;
    const pool = await ReplicaPool.create<GroupLoadOptions>(
      {
        rank,
        localRank,
        worldSize,
        get generation() {
          return generation();
        },
        noMmap: this.#parts.noMmap,
        load: (replicas, weights, loadOptions) => this.#collectives.load(replicas, weights, loadOptions ?? {}),
        update: (replicas, stateDict, updateOptions) => this.#collectives.update(replicas, stateDict, updateOptions),
        subscribe: (replicas, subscribeOptions) => this.#live.subscribe(replicas, subscribeOptions),
        poolClosed: (closed) => this.#pools.delete(closed),
      },
      options,
    );
    this.#pools.add(pool);
    this.#parts.session.reportPhase("idle");
    return pool;
  }

  /** Tells every rank that this one cannot go on: all waiting and later collectives fail with `error` as root cause. */
  abort(error: unknown): void {
    this.#parts.session.abort(error);
  }

  /** Leaves the job in order: pools first, then the stream, then a coordinator of our own. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all([...this.#pools].map((pool) => pool.close()));
    await this.#live.closeSubscriptions();
    await this.#parts.session.close();
    this.#collectives.release();
    this.#live.close();
    this.#copier.close();
    await this.#parts.thread?.close();
  }

  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #hostOf(model: Module): ReplicaHost {
    const host = this.#hosts.get(model) ?? new ReplicaHost(model);
    this.#hosts.set(model, host);
    return host;
  }

  get #saving(): SavingGroup {
    const collectives = this.#collectives;
    return { rank: this.rank, worldSize: this.worldSize, collectives };
  }

  #open(): RankSession {
    if (this.#closed) throw new DistributionError("RANKCAST_CLOSED", "the group is closed", {});
    return this.#parts.session;
  }
}

/** Whether something arrives at the others; undefined arrives as null. Functions and symbols would end the connection. */
function isJson(value: unknown): boolean {
  try {
    return value === undefined || typeof JSON.stringify(value) === "string";
  } catch {
    return false;
  }
}
