/** Names that only sister packages and tests may use. No promise of stability. */
export type { ChannelListener, CoordinatorChannel } from "./grpc/coordinator-channel.ts";
export { createReplica } from "./replica/import-replica-module.ts";
export { type Arrival, RankSession } from "./session/rank-session.ts";
