/** A gRPC server that listens nowhere: connections are brought to it, so that it holds all of them and can cut those whose other side does nothing. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Server, ServerCredentials, ServerInterceptingCall, type ServerInterceptor, type ServerOptions } from "@grpc/grpc-js";
import { MESSAGE_BYTES_MAX, refuseCompression } from "./stream-limits.ts";

/** Streams that one connection may ever open: whoever joins has one, and a few again after a refusal. */
const STREAMS_MAX = 64;
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
  const sockets = new Map<string, { readonly socket: Duplex; streams: number }>();
  const unnamed = new Set<Duplex>();
  /** Streams that are reset as fast as they are opened cost the server their making, and no other bound counts them. */
  const countStreams: ServerInterceptor = (_method, call) => {
    const peer = sockets.get(call.getPeer());
    if (peer) {
      peer.streams += 1;
      if (peer.streams > STREAMS_MAX) peer.socket.destroy();
    }
    return new ServerInterceptingCall(call);
  };
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    // The second sees the call that the first, which needs the bare one, has wrapped.
    interceptors: [refuseCompression, countStreams],
    ...options,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    server,
    inject(socket) {
      const name = nameOf(socket);
      if (name === null) unnamed.add(socket);
      else sockets.set(name, { socket, streams: 0 });
      socket.once("close", () => {
        unnamed.delete(socket);
        if (name !== null) sockets.delete(name);
      });
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
      for (const socket of [...unnamed, ...[...sockets.values()].map((each) => each.socket)]) socket.destroy();
    },
  };
}

/** As grpc-js names the peer of a call; null where it cannot: processes of this machine and user, over unix sockets. */
function nameOf(socket: Duplex): string | null {
  const { remoteAddress, remotePort } = socket as Partial<Socket>;
  return remoteAddress === undefined || remotePort === undefined ? null : `${remoteAddress}:${remotePort}`;
}
