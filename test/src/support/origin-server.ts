/** An HTTP origin in the test's process that serves given bytes honestly and counts what it is asked for. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** Answers one request instead of serving bytes. */
export type OriginHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** See the module comment. */
export class OriginServer {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** One `METHOD /path` per request, in order of arrival. */
  readonly requests: string[] = [];
  /** Bytes of bodies handed to sockets. */
  bodyBytes = 0;
  /** What of served files was asked for: first byte, and the one behind the last. */
  readonly ranges: (readonly [begin: number, end: number])[] = [];
  readonly #routes = new Map<string, OriginHandler>();
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets: Set<Socket>;

  private constructor(server: ReturnType<typeof createServer>, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const path = (request.url ?? "/").split("?")[0] ?? "/";
      this.requests.push(`${request.method} ${path}`);
      const handler = this.#routes.get(path);
      if (handler) handler(request, response);
      else response.writeHead(404, { "content-type": "text/plain" }).end("no such file\n");
    });
  }

  /** Listens on a free port of the loopback interface. */
  static async start(): Promise<OriginServer> {
    const sockets = new Set<Socket>();
    const server = createServer();
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new OriginServer(server, sockets);
  }

  /** Serves `bytes` at `path` as a good server does: HEAD, ranges, entity tag, length. Returns the URL. */
  serve(path: string, bytes: Uint8Array): string {
    return this.route(path, (request, response) => this.sendBytes(request, response, bytes));
  }

  /** Answers requests for `path` with `handler`. Returns the URL. */
  route(path: string, handler: OriginHandler): string {
    this.#routes.set(path, handler);
    return this.url + path;
  }

  /** Says `promisedBytes` and closes the connection after `bytes`. Returns the URL. */
  serveShort(path: string, bytes: Uint8Array, promisedBytes: number): string {
    return this.route(path, (_, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream", "content-length": promisedBytes });
      response.write(bytes, () => response.socket?.destroy());
    });
  }

  /** Always the same status with a body. Returns the URL. */
  serveStatus(path: string, status: number, type: string, body: string): string {
    return this.route(path, (_, response) => void response.writeHead(status, { "content-type": type }).end(body));
  }

  /** Ends every connection and the server. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Answers as `serve` does. */
  sendBytes(request: IncomingMessage, response: ServerResponse, bytes: Uint8Array, etag = `"length-${bytes.length}"`): void {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const begin = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
    const shared = { "accept-ranges": "bytes", etag, "content-type": "application/octet-stream" };
    const headers = { ...shared, "content-length": end - begin };
    if (range) response.writeHead(206, { ...headers, "content-range": `bytes ${begin}-${end - 1}/${bytes.length}` });
    else response.writeHead(200, headers);
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    this.bodyBytes += end - begin;
    this.ranges.push([begin, end]);
    response.end(bytes.subarray(begin, end));
  }
}

/** Registers hooks in the surrounding `describe`; the returned function gives the current test's server. */
export function originServer(): () => OriginServer {
  let server: OriginServer;
  beforeEach(async () => {
    server = await OriginServer.start();
  });
  afterEach(() => server.close());
  return () => server;
}
