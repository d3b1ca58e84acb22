/** A rank's part in weights that are published without waiting: its publisher and its subscriptions. */
import type { StateDict } from "@rankcast/core";
import type { TensorCopier } from "@rankcast/core/runtime";
import { type SubscribeOptions, WeightSubscription } from "../pool/weight-subscription.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import { LivePublisher } from "./live-publisher.ts";

/** See the module comment. */
export class LiveWeights {
  readonly #session: RankSession;
  readonly #noMmap: boolean;
  readonly #copier: TensorCopier;
  readonly #generation: () => number;
  readonly #subscriptions = new Set<WeightSubscription>();
  #publisher: LivePublisher | null = null;

  constructor(session: RankSession, noMmap: boolean, copier: TensorCopier, generation: () => number) {
    this.#session = session;
    this.#noMmap = noMmap;
    this.#copier = copier;
    this.#generation = generation;
  }

  /** As `RankGroup.publish`. */
  publish(stateDict: StateDict, version: string): Promise<void> {
    this.#publisher ??= new LivePublisher(this.#session, this.#noMmap, this.#copier);
    return this.#publisher.publish(stateDict, version);
  }

  /** As `ReplicaPool.subscribe`. */
  subscribe(replicas: ReplicaSet, options: SubscribeOptions): WeightSubscription {
    const onLeft = (): void => void this.#subscriptions.delete(subscription);
    const [session, noMmap, generation] = [this.#session, this.#noMmap, this.#generation];
    const subscription = new WeightSubscription({ session, replicas, noMmap, generation, onLeft }, options);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  /** Of models that live on: what they look at becomes theirs. Pools have closed their own. */
  async closeSubscriptions(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.close()));
  }

  /** Gives the publisher's memory back. */
  close(): void {
    this.#publisher?.close();
  }
}
