/** Names that only sister packages and tests may use. No promise of stability. */

export { Collectives } from "./group/collectives.ts";
export { findHead, type HeadEndpoint, jobIdOf } from "./group/find-head.ts";
export { awaitMeetingToken, leaveMeetingToken } from "./group/meeting-token.ts";
export { rehearseRound } from "./group/rehearse-round.ts";
export { type ChannelListener, type CoordinatorChannel, openCoordinatorChannel } from "./grpc/coordinator-channel.ts";
export { type PackedValue, packValue } from "./pool/pack-value.ts";
export type { PoolGroup } from "./pool/pool-options.ts";
export { bootThreads, closeSpareThreads } from "./pool/thread-stock.ts";
export { unpackValue } from "./pool/unpack-value.ts";
export { type Delivery, prepareDelivery } from "./replica/delivery.ts";
export { createReplica } from "./replica/import-replica-module.ts";
export { ReplicaHost } from "./replica/replica-host.ts";
export { localReplicaSet } from "./replica/replica-set.ts";
export { layOver, type WeightLayer } from "./replica/weight-layers.ts";
export { FailureListeners } from "./session/failure-listeners.ts";
export { type Arrival, RankSession } from "./session/rank-session.ts";
export { watchedChannel } from "./session/watched-channel.ts";
