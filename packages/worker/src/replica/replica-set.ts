/** What a collective load needs of the replicas of a rank, wherever they live. */
import { type DType, type ReplicaReport, StateDict } from "@rankcast/core";
import type { OrderWish } from "@rankcast/core/runtime";
import type { Foreseen } from "./ahead-copies.ts";
import type { Delivery, KeptSet, ReplicaFacts, ReplicaHost, ReplicaLoadOptions } from "./replica-host.ts";
import type { WeightTurns } from "./weight-turns.ts";
import type { WeightsLabel } from "./weights-label.ts";

/** All replicas of one rank. `prepare` rejects with the first failure and touches nothing; `commit` follows a passed barrier. */
export interface ReplicaSet {
  readonly count: number;
  /** Taken by whoever changes weights, from `prepare` or `swap` to the end. */
  readonly turns: WeightTurns;
  /** The floating point type that all replicas would have to make new tensors of, null when there are several or none. */
  castWish(options: ReplicaLoadOptions): Promise<DType | null>;
  /** In which order the first replica's model has its weights, where that is another library's. */
  orderWish(): Promise<OrderWish>;
  /** Plans to copy from weights that are arriving; gives the storages that some replica copies from. @throws {CheckpointError} when none can. */
  foresee(foreseen: Foreseen, options: ReplicaLoadOptions): Promise<readonly number[]>;
  /** Copies from storages that are here now. What fails is copied by the load. */
  copyAhead(storages: readonly number[]): Promise<void>;
  /** @throws {CheckpointError} the first replica's failure. */
  prepare(delivery: Delivery, options: ReplicaLoadOptions): Promise<void>;
  /** Reports by replica index. @throws {CheckpointError} when a replica crashed. */
  commit(label: WeightsLabel): Promise<readonly ReplicaReport[]>;
  /**
   * Goes on to a set that was prepared before: `prepare` and `commit` in one. `attach` is for replicas that are younger than the set.
   * @throws {CheckpointError} when a replica crashed or changed.
   */
  swap(kept: KeptSet, options: ReplicaLoadOptions, attach: () => Delivery, label: WeightsLabel): Promise<readonly ReplicaReport[]>;
  /** Takes back what was committed or swapped to since the last `prepare` or `swap` began: replicas look at the weights before it again. */
  rollBack(): Promise<void>;
  /** Makes what replicas look at of publications their own memory. */
  own(): Promise<void>;
  discard(): Promise<void>;
  facts(digest: boolean): Promise<readonly ReplicaFacts[]>;
  /** The state of the first replica; of one in a thread, a copy. */
  stateDict(): Promise<StateDict>;
}

/** The model in the rank's own main thread as a set of one. */
export function localReplicaSet(host: ReplicaHost): ReplicaSet {
  return {
    count: 1,
    turns: host.turns,
    castWish: async (options) => host.castWish(options),
    orderWish: async () => host.orderWish(),
    foresee: async (foreseen, options) => host.ahead.foresee(host.model, foreseen, options),
    copyAhead: async (storages) => host.ahead.copy(storages),
    prepare: async (delivery, options) => host.prepare(delivery, options),
    commit: async (label) => [host.commit(label)],
    swap: async (kept, options, attach, label) => {
      const swapped = host.swap(kept, label);
      if (swapped) return [swapped.report];
      host.prepare(attach(), options);
      return [host.commit(label)];
    },
    rollBack: async () => void host.rollBack(),
    own: async () => host.own(),
    discard: async () => host.discard(),
    facts: async (digest) => [host.facts(digest)],
    stateDict: async () => host.model?.stateDict() ?? new StateDict(),
  };
}
