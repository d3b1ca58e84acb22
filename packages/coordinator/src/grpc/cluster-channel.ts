/** A node's stream to the head node. */
import { randomUUID } from "node:crypto";
import type { Socket } from "node:net";
import { CallCredentials, ChannelCredentials, Client, type ClientDuplexStream, type experimental } from "@grpc/grpc-js";
import { type CheckpointError, DistributionError } from "@rankcast/core";
import { asCheckpointError } from "@rankcast/core/runtime";
import { CLUSTER_SERVICE, type HeadMessage, type NodeMessage } from "@rankcast/proto";
import { secureLink } from "../link/dial-node.ts";
import { formatLinkAddress, type LinkKey, parseLinkAddress } from "../link/link-key.ts";
import { MESSAGE_BYTES_MAX } from "./stream-limits.ts";

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
  return {
    send: (message) => {
      if (!over) stream.write(message);
    },
    async close() {
      stream.end();
      const timer = setTimeout(() => stream.cancel(), CLOSE_GRACE_MS);
      await whenEnded;
      clearTimeout(timer);
    },
  };
}

/** grpc-js's name of the address. */
function targetOf(address: string): string {
  const where = parseLinkAddress(address);
  return where.type === "unix" ? `unix:${where.path}` : `dns:///${formatLinkAddress(where.host, where.port)}`;
}

interface LinkListener {
  onConnected(localHost: string): void;
  onFailed(error: CheckpointError): void;
}

/** Lets grpc-js connect, and puts our handshake (and TLS) between the connection and HTTP/2. */
class LinkCredentials extends ChannelCredentials {
  readonly #address: string;
  readonly #key: LinkKey;
  readonly #listener: LinkListener;

  constructor(address: string, key: LinkKey, listener: LinkListener) {
    super();
    this.#address = address;
    this.#key = key;
    this.#listener = listener;
  }

  _isSecure(): boolean {
    return false;
  }

  _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  _createSecureConnector(): experimental.SecureConnector {
    return {
      connect: async (socket: Socket) => {
        try {
          const secured = await secureLink(socket, this.#address, "grpc", this.#key);
          this.#listener.onConnected(socket.localAddress ?? "");
          return { socket: secured, secure: false };
        } catch (error) {
          this.#listener.onFailed(asCheckpointError(error));
          throw error;
        }
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }
}
