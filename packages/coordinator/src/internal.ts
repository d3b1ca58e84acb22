/** Names that only sister packages and tests may use. No promise of stability. */
export type { FetchedWeights, FetchWeights } from "./fetch/fetch-weights.ts";
export type { CoordinatorMessage, Hello, RankConnection, RankMessage } from "./grpc/coordination-server.ts";
export { NodeCoordinator, type NodeCoordinatorOptions } from "./node/node-coordinator.ts";
