/** A forward proxy for http (absolute URIs) and https (CONNECT) that records what it was asked. */
import { createServer, request as sendRequest } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface ProxyServer {
  readonly url: string;
  /** `METHOD target` of each request. */
  readonly seen: string[];
  /** `Proxy-Authorization` of each request. */
  readonly authorizations: (string | undefined)[];
  close(): Promise<void>;
}

/** Starts one. With `target` (`host:port`) every tunnel leads there, whatever it was asked for. */
export async function startProxy(target?: string): Promise<ProxyServer> {
  const seen: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  };
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    authorizations.push(request.headers["proxy-authorization"]);
    const { "proxy-authorization": _, ...headers } = request.headers;
    const onward = sendRequest(request.url ?? "", { method: request.method ?? "GET", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.writeHead(502).end());
    request.pipe(onward);
  });
  server.on("connection", keep);
  server.on("connect", (request, socket: Socket) => {
    seen.push(`CONNECT ${request.url}`);
    authorizations.push(request.headers["proxy-authorization"]);
    const [host = "", port] = (target ?? request.url ?? "").split(":");
    const onward = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    keep(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    authorizations,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
