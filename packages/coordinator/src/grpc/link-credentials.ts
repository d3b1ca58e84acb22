/** How a gRPC client of ours connects: the nodes' handshake (and TLS) first, HTTP/2 after it. */
import type { Socket } from "node:net";
import { CallCredentials, ChannelCredentials, type experimental } from "@grpc/grpc-js";
import type { CheckpointError } from "@rankcast/core";
import { asCheckpointError } from "@rankcast/core/runtime";
import { secureLink } from "../link/dial-node.ts";
import { formatLinkAddress, type LinkKey, parseLinkAddress } from "../link/link-key.ts";

/** grpc-js's name of the address. */
export function targetOf(address: string): string {
  const where = parseLinkAddress(address);
  return where.type === "unix" ? `unix:${where.path}` : `dns:///${formatLinkAddress(where.host, where.port)}`;
}

/** What happens to a connection before HTTP/2 begins. */
export interface LinkListener {
  onConnected(localHost: string): void;
  onFailed(error: CheckpointError): void;
}

/** Lets grpc-js connect, and puts our handshake (and TLS) between the connection and HTTP/2. */
export class LinkCredentials extends ChannelCredentials {
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
