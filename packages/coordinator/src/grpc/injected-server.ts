/** A gRPC server that listens nowhere: connections are brought to it, so that it holds all of them and can cut those whose other side does nothing. */
import type { Duplex } from "node:stream";
import { Server, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import { MESSAGE_BYTES_MAX, refuseCompression } from "./stream-limits.ts";

/** Time for streams to end in order when the server closes. */
const CLOSE_GRACE_MS = 2000;

/** See the module comment. */
export interface InjectedServer {
  /** For adding services. */
  readonly server: Server;
  /** Takes a connection. */
  inject(socket: Duplex): void;
  /** Ends streams; waits at most two seconds for the other side, then cuts. */
  close(): Promise<void>;
}

/** Makes one; `options` are grpc-js's, beside the bounds of all servers of ours. */
export function makeInjectedServer(options: ServerOptions): InjectedServer {
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    interceptors: [refuseCompression],
    ...options,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<Duplex>();
  return {
    server,
    inject(socket) {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      injector.injectConnection(socket);
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        new Promise<void>((resolve) => server.tryShutdown(() => resolve())),
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, CLOSE_GRACE_MS);
        }),
      ]);
      clearTimeout(timer);
      server.forceShutdown();
      // A session that was closing before waits for the other side's end, which a stopped process never sends.
      for (const socket of sockets) socket.destroy();
    },
  };
}
