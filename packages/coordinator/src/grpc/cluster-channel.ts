/** A node's stream to the head node. */
import { randomUUID } from "node:crypto";
import { Client, type ClientDuplexStream } from "@grpc/grpc-js";
import { type CheckpointError, DistributionError } from "@rankcast/core";
import { CLUSTER_SERVICE, type HeadMessage, type NodeMessage } from "@rankcast/proto";
import type { LinkKey } from "../link/link-key.ts";
import { LinkCredentials, targetOf } from "./link-credentials.ts";
import { MESSAGE_BYTES_MAX } from "./stream-limits.ts";
import { TurnQueue } from "./turn-queue.ts";

/** An open stream. */
export interface ClusterChannel {
  send(message: NodeMessage): void;
  /** Ends our side after everything queued was sent; resolves when the head has closed its side, or two seconds later. */
  close(): Promise<void>;
}

/** What the owner of a channel hears. */
export interface ClusterChannelListener {
  /** The connection is there; `localHost` is this node's address on it. */
  onConnected(localHost: string): void;
  onMessage(message: HeadMessage): void;
  /** Once, when the stream is over. `connected` is false when it never was one. */
  onEnd(error: CheckpointError, connected: boolean): void;
}

const CLOSE_GRACE_MS = 2000;

/** Opens the stream. Failures arrive at `listener.onEnd`. */
export function openClusterChannel(address: string, key: LinkKey, listener: ClusterChannelListener): ClusterChannel {
  let failure: CheckpointError | null = null;
  let connected = false;
  const credentials = new LinkCredentials(address, key, {
    onConnected: (localHost) => {
      connected = true;
      listener.onConnected(localHost);
    },
    onFailed: (error) => {
      failure ??= error;
    },
  });
  const client = new Client(targetOf(address), credentials, {
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
    "rankcast.channel": randomUUID(),
  });
  const { path, requestSerialize, responseDeserialize } = CLUSTER_SERVICE.join;
  const stream: ClientDuplexStream<NodeMessage, HeadMessage> = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let over = false;
  let ended: (() => void) | undefined;
  const whenEnded = new Promise<void>((resolve) => {
    ended = resolve;
  });
  stream.on("data", (message: HeadMessage) => listener.onMessage(message));
  stream.on("error", (error: Error & { details?: string }) => {
    failure ??= new DistributionError(
      connected ? "RANKCAST_COORDINATOR_LOST" : "RANKCAST_COORDINATOR_UNREACHABLE",
      `the stream to the head node at ${address} ended: ${error.details ?? error.message}`,
      { details: { address }, cause: error },
    );
  });
  stream.on("status", () => {
    over = true;
    client.close();
    listener.onEnd(
      failure ??
        new DistributionError("RANKCAST_COORDINATOR_LOST", `the head node at ${address} closed the stream`, { details: { address } }),
      connected,
    );
    ended?.();
  });
  const queue = new TurnQueue((message) => {
    if (!over) stream.write(message);
  });
  return {
    send: (message) => queue.add(message),
    async close() {
      queue.flush();
      stream.end();
      const timer = setTimeout(() => stream.cancel(), CLOSE_GRACE_MS);
      await whenEnded;
      clearTimeout(timer);
    },
  };
}
