/** The wire contract: messages, their bytes, and the method a gRPC server and client need. Knows no gRPC library. */
import { decodeHeadMessage, decodeNodeMessage, encodeHeadMessage, encodeNodeMessage } from "./cluster-codec.ts";
import {
  decodeCoordinatorMessage,
  decodeRankMessage,
  encodeCoordinatorFrame,
  encodeCoordinatorMessage,
  encodeRankFrame,
  encodeRankMessage,
} from "./codec.ts";

export type {
  HeadMessage,
  LiveBring,
  LiveBrought,
  LiveDrop,
  LiveEncode,
  LiveEncoded,
  LiveServe,
  NodeJoin,
  NodeMessage,
  NodeReport,
  RankHears,
  RankRefused,
  RankSays,
  WeightsFailed,
  WeightsOffer,
  WeightsOwned,
  WeightsReady,
} from "./cluster-messages.ts";
export { WireFormatError } from "./codec.ts";
export { FrameLengthError, FrameReader, type FrameSink, FrameWriter, LANE_MAGIC, LANE_TICKET_BYTES } from "./frame.ts";
export {
  type Abort,
  type Aborted,
  type Arrive,
  type Arriving,
  type CoordinatorMessage,
  type Decision,
  type Freed,
  type Hello,
  type LaneOpen,
  type Leave,
  type LoadRequest,
  type Newest,
  type Offer,
  type Offered,
  PROTOCOL_VERSION,
  type Publication,
  type Published,
  type RankMessage,
  type RankProgress,
  type Subscribe,
  type SubscriptionEnded,
  type Taken,
  type Unsubscribe,
  type Welcome,
  type WireError,
} from "./messages.ts";

/** `service Coordination` of `rankcast/v1/coordination.proto` in the form gRPC libraries take. */
export const COORDINATION_SERVICE = {
  join: {
    path: "/rankcast.v1.Coordination/Join",
    requestStream: true,
    responseStream: true,
    requestSerialize: encodeRankMessage,
    requestDeserialize: decodeRankMessage,
    responseSerialize: encodeCoordinatorMessage,
    responseDeserialize: decodeCoordinatorMessage,
  },
} as const;

/** What the frames of a rank's lane carry: the messages of `Join`. */
export const LANE_MESSAGES = {
  requestFrame: encodeRankFrame,
  requestDeserialize: decodeRankMessage,
  responseFrame: encodeCoordinatorFrame,
  responseDeserialize: decodeCoordinatorMessage,
} as const;

/** `service Cluster` of `rankcast/v1/cluster.proto` in the form gRPC libraries take. */
export const CLUSTER_SERVICE = {
  join: {
    path: "/rankcast.v1.Cluster/Join",
    requestStream: true,
    responseStream: true,
    requestSerialize: encodeNodeMessage,
    requestDeserialize: decodeNodeMessage,
    responseSerialize: encodeHeadMessage,
    responseDeserialize: decodeHeadMessage,
  },
} as const;
