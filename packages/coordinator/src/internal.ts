/** Names that only sister packages and tests may use. No promise of stability. */
// broadcast
export { AttemptRecord } from "./attempt-coordination.ts";
export { ChunkIntake } from "./broadcast/chunk-intake.ts";
export { FillSide } from "./broadcast/fill-side.ts";
export { encodeHead, HEAD_BYTES } from "./broadcast/frame.ts";
export { FrameParser } from "./broadcast/frame-parser.ts";
export { grpcLane } from "./broadcast/grpc-lane.ts";
export type { BoundLane, Lane, LaneConnection, LaneListener } from "./broadcast/lane.ts";
export { Lineage } from "./broadcast/lineage.ts";
export {
  type BroadcastEvent,
  type NodeBroadcast,
  type NodeBroadcastOptions,
  type ReceivedSegments,
  type StripeReader,
  startNodeBroadcast,
} from "./broadcast/node-broadcast.ts";
export { Pull } from "./broadcast/pull.ts";
export { headDigest } from "./broadcast/requests.ts";
export { ServeSide } from "./broadcast/serve-side.ts";
export { tcpLane } from "./broadcast/tcp-lane.ts";
export type { ThreadMessage } from "./broadcast/thread-message.ts";
// cluster
export { LinkPlanner } from "./cluster/link-planner.ts";
export { Lobby } from "./cluster/lobby.ts";
export { MeetingPlace } from "./cluster/meeting-place.ts";
export { NodeCaster } from "./cluster/node-caster.ts";
export { RelayWeights } from "./cluster/relay-weights.ts";
export { type DriverHost, type NodeLine, RendezvousDriver } from "./cluster/rendezvous-driver.ts";
export { RoundLineage } from "./cluster/round-lineage.ts";
export { type FetchedWeights, type FetchWeights, fetchWeights } from "./fetch/fetch-weights.ts";
export { openClusterChannel } from "./grpc/cluster-channel.ts";
export type { HeadMessage, NodeMessage } from "./grpc/cluster-server.ts";
export { type ClusterServer, startClusterServer } from "./grpc/cluster-server.ts";
export {
  type ConnectionListener,
  type CoordinationServer,
  type CoordinatorMessage,
  type Hello,
  type RankConnection,
  type RankMessage,
  startCoordinationServer,
} from "./grpc/coordination-server.ts";
export { LaneTickets, TICKET_MS } from "./grpc/lane-tickets.ts";
export { TurnQueue } from "./grpc/turn-queue.ts";
// launch
export { readErrorFile } from "./launch/error-file.ts";
export { renderFailureTable } from "./launch/failure-table.ts";
export { launchError } from "./launch/launch-error.ts";
export { type CompiledLaunchOptions, compileLaunchOptions, RENDEZVOUS_PORT } from "./launch/launch-options.ts";
export { createLineSplitter } from "./launch/line-splitter.ts";
export { rankVariables } from "./launch/rank-variables.ts";
export { recordFailure } from "./launch/record-failure.ts";
export { parseStreamSelection } from "./launch/stream-selection.ts";
export {
  createSupervisorState,
  type LaunchOutcome,
  rootFailure,
  type SupervisorEvent,
  type SupervisorInstruction,
  type SupervisorState,
  stepSupervisor,
} from "./launch/supervisor-state.ts";
// link
export { dialNode } from "./link/dial-node.ts";
export { answer, greet, type LinkKind } from "./link/handshake.ts";
export { formatLinkAddress, isLoopback, type LinkCertificates, type LinkKey, parseLinkAddress, protectionOf } from "./link/link-key.ts";
export { LINK_LIMITS, type LinkLimits, type LinkListener, type LinkListenerOptions, listenForLinks } from "./link/link-listener.ts";
export { readLinkConnections } from "./link/read-link-connections.ts";
export { readLinkKey } from "./link/read-link-key.ts";
export { REFUSAL_REASONS, type Refusal, type RefusalCount, Refusals } from "./link/refusals.ts";
export { NodeCoordinator, type NodeCoordinatorOptions } from "./node/node-coordinator.ts";
export { RankWatch } from "./node/rank-watch.ts";
export { rehearseRounds } from "./node/rehearse-rounds.ts";
// round
export type { LiveNodes } from "./round/live-carriages.ts";
export { LiveWeights } from "./round/live-weights.ts";
