/** The collective operations of one rank. */
import { DistributionError, type LoadReport, type Module, type StateDict } from "@rankcast/core";
import type { RankIdentity } from "@rankcast/core/runtime";
import { ReplicaPool, type ReplicaPoolOptions } from "../pool/replica-pool.ts";
import type { SubscribeOptions, WeightSubscription } from "../pool/weight-subscription.ts";
import { ReplicaHost } from "../replica/replica-host.ts";
import { localReplicaSet, type ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import type { CoordinatorThread } from "./coordinator-thread.ts";
import { LiveWeights } from "./live-weights.ts";
import { fetchOptionsOf, type GroupLoadOptions, replicaOptionsOf, roundDigest } from "./load-options.ts";
import { PublicationRing } from "./publication-ring.ts";
import { runRound } from "./round.ts";
import { type KeptLayout, runUpdate } from "./update-round.ts";

/** What `joinGroup` has found out. */
export interface RankGroupParts {
  readonly session: RankSession;
  readonly identity: RankIdentity;
  readonly thread: CoordinatorThread | null;
  readonly noMmap: boolean;
}

/**
 * A rank's membership in its job. Every method that says "collective" must be called by all ranks in the same order; it resolves or rejects
 * alike on all of them. Collectives of one rank run one after the other.
 */
export class RankGroup implements AsyncDisposable {
  readonly #parts: RankGroupParts;
  readonly #hosts = new WeakMap<Module, ReplicaHost>();
  readonly #pools = new Set<{ close(): Promise<void> }>();
  readonly #live: LiveWeights;
  readonly #ring: PublicationRing;
  #sequence = 0;
  #generation = -1;
  #last: ReplicaSet | null = null;
  /** Layout of the last update, if it was the last collective: its sets are attached by every replica of every rank. */
  #layout: KeptLayout | null = null;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: RankGroupParts) {
    this.#parts = parts;
    this.#ring = new PublicationRing(parts.noMmap);
    this.#live = new LiveWeights(parts.session, parts.identity.nodeCount, parts.noMmap);
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
    return this.#generation;
  }

  /**
   * Collective: loads `weights` into `model` on every rank.
   * @throws {CheckpointError} the same root cause on every rank; no model was touched unless committing itself failed.
   */
  loadModelCheckpoint(model: Module, weights: string, options: GroupLoadOptions = {}): Promise<LoadReport> {
    return this.#load(localReplicaSet(this.#hostOf(model)), weights, options);
  }

  /**
   * Collective: builds a model from the checkpoint itself on every rank and loads it; for programs that have no model class.
   * @throws {CheckpointError} the same root cause on every rank.
   */
  async loadCheckpoint(weights: string, options: GroupLoadOptions = {}): Promise<{ readonly model: Module; readonly report: LoadReport }> {
    const host = new ReplicaHost(null);
    const report = await this.#load(localReplicaSet(host), weights, options);
    if (!host.model) throw new DistributionError("RANKCAST_PROTOCOL", "a load passed without a model", {});
    this.#hosts.set(host.model, host);
    return { model: host.model, report };
  }

  /**
   * Collective weight update: generation + 1 on every rank from the state dict of rank `src`; the others pass null. Goes into the model (or
   * pool) of the last load.
   * @throws {CheckpointError} the same root cause on every rank; every replica stays on its generation.
   */
  broadcastStateDict(stateDict: StateDict | null, options: { readonly src?: number } = {}): Promise<LoadReport> {
    const replicas = this.#last;
    if (!replicas) {
      throw new DistributionError(
        "RANKCAST_USAGE",
        "broadcastStateDict needs replicas: load a checkpoint into a model or a pool first",
        {},
      );
    }
    return this.#update(replicas, stateDict, options);
  }

  /**
   * Publishes weights without waiting for anybody: one copy into shared memory, then subscribers take them between their steps. Not collective.
   * When every memory set is still looked at (a subscriber of policy `every` that does not keep up) it resolves later, and the state dict must not
   * change until then.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room; {DistributionError} RANKCAST_CLOSED, RANKCAST_UNSUPPORTED (several nodes).
   */
  publish(stateDict: StateDict, options: { readonly version?: string } = {}): Promise<void> {
    this.#open();
    return this.#live.publish(stateDict, options.version ?? "");
  }

  /** Takes published weights into a model of the main thread; pools have a `subscribe` of their own. Close it before the group. */
  subscribe(model: Module, options: SubscribeOptions = {}): WeightSubscription {
    this.#open();
    return this.#live.subscribe(localReplicaSet(this.#hostOf(model)), options);
  }

  /**
   * Waits until every rank stands at the barrier of this name.
   * @throws {CheckpointError} the same root cause on every rank: timeout (names the missing ranks), a lost rank, an abort.
   */
  barrier(name = "", options: { readonly timeoutMs?: number } = {}): Promise<void> {
    return this.#open()
      .arrive({ barrier: `user/${name}`, digest: "", ...options })
      .then(() => undefined);
  }

  /**
   * Starts this rank's replicas, each in a thread. Not collective.
   * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT.
   */
  async createPool(options: ReplicaPoolOptions): Promise<ReplicaPool<GroupLoadOptions>> {
    this.#open().reportPhase("building replicas");
    const { rank, localRank, worldSize } = this;
    const pool = await ReplicaPool.create<GroupLoadOptions>(
      {
        rank,
        localRank,
        worldSize,
        noMmap: this.#parts.noMmap,
        load: (replicas, weights, loadOptions) => this.#load(replicas, weights, loadOptions ?? {}),
        update: (replicas, stateDict, updateOptions) => this.#update(replicas, stateDict, updateOptions),
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
    await this.#live.closeSubscriptions();
    await Promise.all([...this.#pools].map((pool) => pool.close()));
    await this.#parts.session.close();
    this.#ring.release();
    this.#live.close();
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

  #load(replicas: ReplicaSet, weights: string, options: GroupLoadOptions): Promise<LoadReport> {
    if (typeof options.select === "function") {
      throw new DistributionError("RANKCAST_USAGE", "select of a collective load must be a path: a function cannot cross processes", {
        details: { option: "select" },
      });
    }
    if (typeof options.mapLocation === "function") {
      throw new DistributionError(
        "RANKCAST_USAGE",
        "mapLocation of a collective load must be a device or a table: a function cannot cross processes",
        {
          details: { option: "mapLocation" },
        },
      );
    }
    const fetch = fetchOptionsOf(options);
    const digest = roundDigest(["load", weights, fetch]);
    const { session } = this.#parts;
    return this.#collective(replicas, options, digest, {
      announce: (sequence) => session.requestLoad(sequence, weights, fetch, digest),
      deliver: (sequence) => session.published(sequence),
    });
  }

  #update(replicas: ReplicaSet, stateDict: StateDict | null, { src = 0 }: { readonly src?: number }): Promise<LoadReport> {
    const session = this.#open();
    if ((stateDict !== null) !== (src === this.rank)) {
      throw new DistributionError("RANKCAST_USAGE", `rank ${this.rank}: only rank src = ${src} passes a state dict, the others pass null`, {
        details: { src, rank: this.rank },
      });
    }
    return this.#inTurn(async () => {
      const sequence = this.#nextSequence();
      const known = this.#layout;
      // Until it has succeeded on every rank nobody may count on it.
      this.#layout = null;
      const { report, layout, manifest } = await runUpdate({
        session,
        sequence,
        digest: roundDigest(["update", src]),
        replicas,
        // Updates carry the names of the replicas themselves: rewriting them would be wrong.
        options: { revKeys: [], strict: false },
        noMmap: this.#parts.noMmap,
        manifest: known?.manifest ?? null,
        publish: stateDict ? () => this.#publish(sequence, stateDict, known?.layout ?? null) : null,
      });
      if (stateDict) this.#ring.accepted(layout ?? undefined);
      this.#finish(replicas, report, layout === null ? null : { layout, manifest });
      return report;
    });
  }

  #publish(sequence: number, stateDict: StateDict, lastLayout: string | null): void {
    const { manifest, placed } = this.#ring.publish(stateDict, lastLayout);
    this.#parts.session.publish(sequence, manifest, placed);
  }

  #collective(
    replicas: ReplicaSet,
    options: GroupLoadOptions,
    digest: string,
    delivery: { announce(sequence: number): void; deliver(sequence: number): ReturnType<RankSession["published"]> },
  ): Promise<LoadReport> {
    const session = this.#open();
    return this.#inTurn(async () => {
      const sequence = this.#nextSequence();
      const report = await runRound({
        session,
        sequence,
        digest,
        replicas,
        options: replicaOptionsOf(options),
        withDigest: options.digest ?? false,
        noMmap: this.#parts.noMmap,
        limits: options.limits ?? {},
        signal: options.signal,
        announce: () => delivery.announce(sequence),
        deliver: async () => delivery.deliver(sequence),
      });
      this.#finish(replicas, report, null);
      return report;
    });
  }

  /** Collectives of one rank run one after the other, whatever became of the one before. */
  #inTurn(run: () => Promise<LoadReport>): Promise<LoadReport> {
    const result = this.#tail.then(run, run);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #finish(replicas: ReplicaSet, report: LoadReport, layout: KeptLayout | null): void {
    this.#generation = report.generation;
    this.#last = replicas;
    this.#layout = layout;
  }

  #open(): RankSession {
    if (this.#closed) throw new DistributionError("RANKCAST_CLOSED", "the group is closed", {});
    return this.#parts.session;
  }
}
