/** A rank's part in weights that are published without waiting: its publisher and its subscriptions. */
import { DistributionError, type StateDict } from "@rankcast/core";
import { type SubscribeOptions, WeightSubscription } from "../pool/weight-subscription.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import { LivePublisher } from "./live-publisher.ts";

/** See the module comment. */
export class LiveWeights {
  readonly #session: RankSession;
  readonly #nodeCount: number;
  readonly #noMmap: boolean;
  readonly #generation: () => number;
  readonly #subscriptions = new Set<WeightSubscription>();
  #publisher: LivePublisher | null = null;

  constructor(session: RankSession, nodeCount: number, noMmap: boolean, generation: () => number) {
    this.#session = session;
    this.#nodeCount = nodeCount;
    this.#noMmap = noMmap;
    this.#generation = generation;
  }

  /** As `RankGroup.publish`. @throws {DistributionError} RANKCAST_UNSUPPORTED for several nodes. */
  publish(stateDict: StateDict, version: string): Promise<void> {
    this.#requireOneNode("publish");
    this.#publisher ??= new LivePublisher(this.#session, this.#noMmap);
    return this.#publisher.publish(stateDict, version);
  }

  /** As `ReplicaPool.subscribe`. @throws {DistributionError} RANKCAST_UNSUPPORTED for several nodes. */
  subscribe(replicas: ReplicaSet, options: SubscribeOptions): WeightSubscription {
    this.#requireOneNode("subscribe");
    const subscription = new WeightSubscription(this.#session, replicas, this.#noMmap, this.#generation, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Before the replicas end: what they look at becomes theirs. */
  async closeSubscriptions(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
  }

  /** Gives the publisher's memory back. */
  close(): void {
    this.#publisher?.close();
  }

  #requireOneNode(what: string): void {
    if (this.#nodeCount === 1) return;
    throw new DistributionError("RANKCAST_UNSUPPORTED", `${what} reaches the ranks of one node; the job has ${this.#nodeCount}`, {
      details: { nodeCount: this.#nodeCount },
      remedy: "Use broadcastStateDict or pool.update, which reach every node.",
    });
  }
}
