/** What a replica module is and gets. */
import type { Module } from "@rankcast/core";

/** Who a replica is. Plain data. */
export interface ReplicaContext {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  /** Index of the replica inside its rank. */
  readonly replica: number;
  /** What the pool's maker passed as `options`; structured-cloneable. */
  readonly options: unknown;
}

/** Makes the model of one replica. */
export type CreateReplica = (context: ReplicaContext) => Module | Promise<Module>;

/** What a replica module exports: `createReplica` and any functions `pool.run` may call by name. */
export interface ReplicaModule {
  readonly createReplica: CreateReplica;
  readonly [name: string]: unknown;
}
