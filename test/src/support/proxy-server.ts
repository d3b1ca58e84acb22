/** A forward proxy for http (absolute URIs) and https (CONNECT) that records what it was asked. It keeps `X-Hop` to itself. */
import { createServer, request as sendRequest } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface ProxyServer {
  readonly url: string;
  /** `METHOD target` of each request. */
  readonly seen: string[];
  /** `Proxy-Authorization` of each request. */
  readonly authorizations: (string | undefined)[];
  /** Connections it has accepted. */
  accepted(): number;
  /** Those that are open, to clients and to servers. */
  open(): number;
  /** Answers to CONNECT requests, one after the other, before tunnels are opened: a status, or silence. */
  refusals: (number | "silence")[];
  /** Bytes of bodies that came back over http. */
  bodyBytes(): number;
  close(): Promise<void>;
}

/** Starts one. With `target` (`host:port`) every tunnel leads there, whatever it was asked for; `added` goes on with every http request. */
export async function startProxy(
  target?: string,
  added: Readonly<Record<string, string>> = {},
  tls?: { readonly key: string; readonly cert: string },
): Promise<ProxyServer> {
  const seen: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const refusals: (number | "silence")[] = [];
  let bodyBytes = 0;
  let accepted = 0;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  };
  const server = tls === undefined ? createServer() : createSecureServer(tls);
  server.on("request", (request, response) => {
    seen.push(`${request.method} ${request.url}`);
    authorizations.push(request.headers["proxy-authorization"]);
    const { "proxy-authorization": _, "x-hop": __, ...headers } = request.headers;
    const onward = sendRequest(request.url ?? "", { method: request.method ?? "GET", headers: { ...headers, ...added } }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("data", (piece: Buffer) => {
        bodyBytes += piece.length;
      });
      answer.pipe(response);
    });
    onward.on("error", () => response.writeHead(502).end());
    request.pipe(onward);
  });
  server.on("connection", (socket: Socket) => {
    accepted += 1;
    keep(socket);
  });
  if (tls !== undefined) server.on("secureConnection", keep);
  server.on("connect", (request, socket: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    authorizations.push(request.headers["proxy-authorization"]);
    keep(socket);
    const refusal = refusals.shift();
    if (refusal === "silence") {
      socket.resume().once("end", () => socket.destroy());
      return;
    }
    if (refusal !== undefined) {
      socket.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const [host = "", port] = (target ?? request.url ?? "").split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    keep(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    authorizations,
    refusals,
    accepted: () => accepted,
    open: () => [...sockets].filter((socket) => !socket.destroyed).length,
    bodyBytes: () => bodyBytes,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
