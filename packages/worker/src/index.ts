/** Public names of @rankcast/worker. */

export type { UpdateOptions } from "./group/collectives.ts";
export { type JoinGroupOptions, joinGroup } from "./group/join-group.ts";
export type { GroupLoadOptions } from "./group/load-options.ts";
export { RankGroup } from "./group/rank-group.ts";
export type { SaveOptions } from "./group/save-checkpoint.ts";
export type { WatchedCheckpoint, WatchOptions } from "./group/watch-checkpoints.ts";
export type { PoolReply, ReplicaCallOptions, ReplicaEvent, ReplicaPoolOptions, ReplicaStatus } from "./pool/pool-options.ts";
export { ReplicaPool } from "./pool/replica-pool.ts";
export { type SubscribeOptions, WeightSubscription, type WeightsUpdate } from "./pool/weight-subscription.ts";
export type { CreateReplica, ReplicaContext, ReplicaModule } from "./replica/replica-context.ts";
export type { ReplicaLoadOptions } from "./replica/replica-host.ts";
