/** A gRPC server that listens nowhere: connections are brought to it, so that it holds all of them and can cut those whose other side does nothing. */
import type { Http2Server, Http2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { Server, ServerCredentials, type ServerOptions } from "@grpc/grpc-js";
import { MESSAGE_BYTES_MAX, refuseCompression } from "./stream-limits.ts";

/** Streams that one connection may ever open: whoever joins has one, and a few again after a refusal. */
const STREAMS_MAX = 64;
/** Questions that one connection may ask of HTTP/2 itself in `CONTROL_MS`: nobody in a job sends pings, and settings come once. */
const CONTROL_MAX = 64;
const CONTROL_MS = 10_000;
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
  /** Ends everything without waiting for anybody. */
  cut(): void;
}

/** Makes one; `options` are grpc-js's, beside the bounds of all servers of ours. */
export function makeInjectedServer(options: ServerOptions): InjectedServer {
  const sockets = new Set<Duplex>();
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    interceptors: [refuseCompression],
    ...options,
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  boundConnections(server);
  const cut = (): void => {
    server.forceShutdown();
    // A session that was closing before waits for the other side's end, which a stopped process never sends.
    for (const socket of sockets) socket.destroy();
  };
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
      cut();
    },
    cut,
  };
}

/**
 * Cuts connections that ask without end, which no bound of HTTP/2 or grpc-js counts. One that opens stream after stream, resets them, or asks for
 * what does not exist costs the server their making; nghttp2 answers every ping and every settings frame, and cuts only who does not read the answers.
 * Interceptors would see calls of known methods only; that grpc-js has an HTTP/2 server is a field that TypeScript calls private. A test fails when it
 * goes.
 */
function boundConnections(server: Server): void {
  const { http2Servers } = server as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> };
  for (const each of http2Servers.keys()) each.on("session", boundSession);
}

function boundSession(session: Http2Session): void {
  let streams = 0;
  let questions = 0;
  let sinceMs = performance.now();
  // After grpc-js's own listener, which answers, and must not find a session that is gone.
  session.on("stream", () => {
    streams += 1;
    if (streams > STREAMS_MAX) session.destroy();
  });
  const count = (): void => {
    const nowMs = performance.now();
    if (nowMs - sinceMs > CONTROL_MS) {
      sinceMs = nowMs;
      questions = 0;
    }
    questions += 1;
    if (questions > CONTROL_MAX) session.destroy();
  };
  for (const event of ["ping", "remoteSettings", "goaway"]) session.on(event, count);
}
