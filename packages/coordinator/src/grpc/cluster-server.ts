/** The head node's gRPC server for other nodes. It listens nowhere: connections come in when their handshake is done. */
import type { Duplex } from "node:stream";
import { type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { asCheckpointError } from "@rankcast/core/runtime";
import { CLUSTER_SERVICE, type HeadMessage, type NodeMessage } from "@rankcast/proto";
import { makeInjectedServer } from "./injected-server.ts";

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
  WeightsOffer,
  WeightsOwned,
} from "@rankcast/proto";

/** One node's stream. */
export interface NodeStream {
  send(message: HeadMessage): void;
  /** Ends the stream after everything that was sent. */
  end(): void;
}

/** What the owner of the server hears. Calls for one stream come in its order. */
export interface NodeStreamListener {
  onMessage(stream: NodeStream, message: NodeMessage): void;
  /** Once per stream, however it ended. */
  onEnd(stream: NodeStream, reason: string): void;
}

/** A server for the streams of nodes. */
export interface ClusterServer {
  /** Takes an authenticated connection. */
  inject(socket: Duplex): void;
  /** Ends streams; waits at most two seconds for the other side, then cuts. */
  close(): Promise<void>;
}

type Call = ServerDuplexStream<NodeMessage, HeadMessage>;

/** Starts it. */
export function startClusterServer(listener: NodeStreamListener): ClusterServer {
  // A node has one stream.
  const { server, inject, close } = makeInjectedServer({ "grpc.max_concurrent_streams": 4 });
  server.addService(CLUSTER_SERVICE as unknown as ServiceDefinition, { join: (call: Call) => serve(call, listener) });
  return { inject, close };
}

function serve(call: Call, listener: NodeStreamListener): void {
  let over = false;
  const stream: NodeStream = {
    send: (message) => {
      if (!over) call.write(message);
    },
    end: () => void call.end(),
  };
  const finish = (reason: string): void => {
    if (over) return;
    over = true;
    listener.onEnd(stream, reason);
  };
  call.on("data", (message: NodeMessage) => {
    if (over) return;
    try {
      listener.onMessage(stream, message);
    } catch (error) {
      // A message we cannot act on must end the stream: going on could leave a barrier without an arrival.
      const { message: text } = asCheckpointError(error);
      call.emit("error", { code: status.INVALID_ARGUMENT, details: text });
      finish(text);
    }
  });
  call.on("end", () => {
    finish("it left");
    call.end();
  });
  call.on("cancelled", () => finish("its connection closed"));
  call.on("close", () => finish("its connection closed"));
  call.on("error", (error: Error) => finish(error.message));
}
