/** Bytes of a lane as messages of a gRPC stream, as they are: no message types, no copies of ours. */
import { randomUUID } from "node:crypto";
import type { Duplex } from "node:stream";
import { Client, type ServerDuplexStream, type ServiceDefinition } from "@grpc/grpc-js";
import { type CheckpointError, DistributionError } from "@rankcast/core";
import type { LinkKey } from "../link/link-key.ts";
import { makeInjectedServer } from "./injected-server.ts";
import { LinkCredentials, targetOf } from "./link-credentials.ts";

const PATH = "/rankcast.v1.Lane/Pull";
/** A chunk is one message. */
const MESSAGE_BYTES_MAX = 17 * 2 ** 20;
/** One event loop that does nothing else: more than the default window of 64 KiB, which would wait a round trip for each. */
const OPTIONS = {
  "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
  "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
  "grpc-node.flow_control_window": 16 * 2 ** 20,
};
const SERVICE = {
  pull: {
    path: PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  },
} satisfies ServiceDefinition;

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

/** Either end of a stream. */
export interface LaneStream {
  on(event: "data", listener: (bytes: Buffer) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "end" | "close" | "cancelled", listener: () => void): unknown;
  write(bytes: Buffer, written?: () => void): unknown;
  /** Ends it without waiting for anything. */
  cut(): void;
}

/** Opens a stream; resolves when the handshake is done. @throws {CheckpointError} what connecting and handshake refuse. */
export function dialLaneStream(address: string, key: LinkKey): Promise<LaneStream> {
  return new Promise((resolve, reject) => {
    let failure: CheckpointError | null = null;
    const credentials = new LinkCredentials(address, key, {
      onConnected: () => resolve(Object.assign(stream, { cut })),
      onFailed: (error) => {
        failure = error;
      },
    });
    const client = new Client(targetOf(address), credentials, {
      ...OPTIONS,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_retries": 0,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.service_config_disable_resolution": 1,
      "rankcast.channel": randomUUID(),
    });
    const stream = client.makeBidiStreamRequest(PATH, asItIs, asItIs);
    const cut = (): void => {
      stream.cancel();
      client.close();
    };
    stream.on("error", (cause: Error) => {
      client.close();
      reject(
        failure ?? new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `no stream to ${address}`, { details: { address }, cause }),
      );
    });
  });
}

/** A server of such streams that listens nowhere. */
export interface LaneStreamServer {
  /** Takes an authenticated connection. */
  inject(socket: Duplex): void;
  close(): void;
}

/** Starts it. */
export function startLaneStreamServer(onStream: (stream: LaneStream) => void): LaneStreamServer {
  const { server, inject, cut } = makeInjectedServer({ ...OPTIONS, "grpc.max_concurrent_streams": 4 });
  server.addService(SERVICE, {
    pull: (call: ServerDuplexStream<Buffer, Buffer>) => onStream(Object.assign(call, { cut: () => call.destroy() })),
  });
  return { inject, close: cut };
}
