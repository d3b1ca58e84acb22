/** An HTTP server in the test's process that serves a file honestly, or lies as the test tells it. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

/** What a handler gets: the request and how many came before it. */
export type Handler = (request: IncomingMessage, response: ServerResponse, index: number) => void;

export class LyingServer {
  readonly url: string;
  readonly requests: SeenRequest[] = [];
  /** Bytes of file content handed to sockets by `serveFile`. */
  bytesServed = 0;
  /** Connections made so far. */
  accepted = 0;
  handler: Handler;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, scheme: string, handler: Handler) {
    this.#server = server;
    this.#sockets = sockets;
    this.handler = handler;
    this.url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(handler: Handler, tls?: { readonly key: string; readonly cert: string }): Promise<LyingServer> {
    const sockets = new Set<Socket>();
    let self: LyingServer | undefined;
    const listener: RequestListener = (request, response) => {
      const index = self?.requests.length ?? 0;
      self?.requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
      self?.handler(request, response, index);
    };
    const server = tls ? createSecureServer(tls, listener) : createServer(listener);
    server.on("connection", (socket) => {
      sockets.add(socket);
      if (self) self.accepted += 1;
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    });
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    self = new LyingServer(server, sockets, tls ? "https" : "http", handler);
    return self;
  }

  /** Connections open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

export interface FileOptions {
  /** Default: strong, from the content. Null: none. */
  readonly etag?: string | null;
  readonly lastModified?: string;
  /** Default true. */
  readonly ranges?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called with each piece of content about to be sent; returning false ends the connection before it. */
  readonly beforePiece?: (sentBytes: number) => boolean;
  readonly pieceBytes?: number;
}

/** Serves `bytes` as a good server does: Range, If-Range, conditional requests, HEAD. */
export function serveFile(bytes: Uint8Array, options: FileOptions = {}, server?: () => LyingServer): Handler {
  const etag = options.etag === undefined ? `"${createHash("md5").update(bytes).digest("hex")}"` : options.etag;
  return (request, response) => {
    if (etag !== null) response.setHeader("etag", etag);
    if (options.lastModified) response.setHeader("last-modified", options.lastModified);
    for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value);
    if (etag !== null && request.headers["if-none-match"] === etag) return void response.writeHead(304).end();
    const ifRange = request.headers["if-range"];
    const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const ranged =
      match !== null && options.ranges !== false && (ifRange === undefined || ifRange === etag || ifRange === options.lastModified);
    const begin = ranged ? Number(match[1]) : 0;
    const end = ranged && match[2] ? Math.min(Number(match[2]) + 1, bytes.length) : bytes.length;
    if (ranged && begin >= bytes.length) return void response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    response.setHeader("content-length", end - begin);
    if (ranged) response.setHeader("content-range", `bytes ${begin}-${end - 1}/${bytes.length}`);
    response.writeHead(ranged ? 206 : 200);
    if (request.method === "HEAD") return void response.end();
    sendPieces(response, bytes.subarray(begin, end), options, server);
  };
}

function sendPieces(response: ServerResponse, bytes: Uint8Array, options: FileOptions, server?: () => LyingServer): void {
  const pieceBytes = options.pieceBytes ?? 65_536;
  for (let sent = 0; sent < bytes.length; sent += pieceBytes) {
    if (options.beforePiece?.(sent) === false) {
      // What was written must arrive before the end does.
      response.write("", () => setImmediate(() => response.socket?.destroySoon()));
      return;
    }
    const piece = bytes.subarray(sent, sent + pieceBytes);
    response.write(piece);
    const self = server?.();
    if (self) self.bytesServed += piece.length;
  }
  response.end();
}

/** Writes bytes to the connection as they are, behind Node's back. */
export function sendRaw(response: ServerResponse, ...segments: (string | Uint8Array)[]): void {
  const socket = response.socket;
  if (socket === null) return;
  for (const segment of segments) socket.write(segment);
}
