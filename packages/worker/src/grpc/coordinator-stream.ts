/** The rank's gRPC stream to its node's coordinator. The only file of this package that knows gRPC and the wire contract's service. */
import { randomUUID } from "node:crypto";
import { ChannelCredentials, Client, type ClientDuplexStream, status } from "@grpc/grpc-js";
import { type CheckpointError, DistributionError } from "@rankcast/core";
import { COORDINATION_SERVICE, type CoordinatorMessage, type RankMessage } from "@rankcast/proto";
import { MESSAGE_BYTES_MAX } from "./message-bound.ts";

/** One open stream. */
export interface CoordinatorStream {
  /** Queues a message; the stream keeps order. */
  write(message: RankMessage): void;
  /** Ends our side after everything queued was sent. */
  end(): void;
  /** Ends the stream at once, without the coordinator's help. */
  cancel(): void;
}

/** What the owner of a stream hears. */
export interface StreamListener {
  onMessage(message: CoordinatorMessage): void;
  /** Once, when the stream is over; null after an orderly end. */
  onEnd(error: CheckpointError | null): void;
}

/** Opens a stream to `address` (`unix:/path/to.sock`). Connection failures arrive at `listener.onEnd`. */
export function openCoordinatorStream(address: string, listener: StreamListener): CoordinatorStream {
  const client = new Client(address, ChannelCredentials.createInsecure(), {
    // With http_proxy set, grpc-js would dial the proxy even for local sockets.
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    // A pooled subchannel could be shared with another group of this process; its end would be ambiguous.
    "grpc.use_local_subchannel_pool": 1,
    "rankcast.channel": randomUUID(),
  });
  const { path, requestSerialize, responseDeserialize } = COORDINATION_SERVICE.join;
  const stream: ClientDuplexStream<RankMessage, CoordinatorMessage> = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
  );
  let failure: CheckpointError | null = null;
  stream.on("data", (message: CoordinatorMessage) => listener.onMessage(message));
  stream.on("error", (error: Error & { code?: number; details?: string }) => {
    failure = streamError(error, address);
  });
  stream.on("status", () => {
    client.close();
    listener.onEnd(failure);
  });
  return {
    write: (message) => void stream.write(message),
    end: () => void stream.end(),
    cancel: () => stream.cancel(),
  };
}

function streamError(error: Error & { code?: number; details?: string }, address: string): CheckpointError {
  const details = { address, status: error.code ?? -1 };
  const text = error.details ?? error.message;
  if (error.code === status.UNAUTHENTICATED) return new DistributionError("RANKCAST_TOKEN_REFUSED", text, { details, cause: error });
  if (error.code === status.INVALID_ARGUMENT) return new DistributionError("RANKCAST_PROTOCOL", text, { details, cause: error });
  if (error.code === status.ALREADY_EXISTS) return new DistributionError("RANKCAST_DUPLICATE_RANK", text, { details, cause: error });
  return new DistributionError("RANKCAST_COORDINATOR_LOST", `the stream to the coordinator ended: ${text}`, { details, cause: error });
}
