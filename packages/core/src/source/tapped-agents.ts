/** Agents whose connections can give large bodies past Node's parser: direct ones, and through http proxies. */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, type OnReadOpts, connect as plainConnect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as tlsConnect } from "node:tls";
import { ConnectionPool } from "./connection-pool.ts";

type ConnectOptions = Parameters<HttpAgent["createConnection"]>[0];
type Connected = (error: Error | null, connection: Duplex) => void;

/** What every agent has, for Node's own use and for agents that change a request before it is sent. */
interface AgentInternals {
  addRequest(request: ClientRequest, ...rest: unknown[]): void;
}

/** Who speaks for us. */
export interface Proxy {
  /** Origin of an http or https URL. */
  readonly url: URL;
  /** `Proxy-Authorization`, from the URL's userinfo; a secret, for the proxy only. */
  readonly authorization: string | undefined;
  /** How its own certificate is checked. */
  readonly tls: { readonly rejectUnauthorized: boolean; readonly ca?: string };
}

/** http without a proxy. */
export class TappedHttpAgent extends HttpAgent {
  protected readonly pool = new ConnectionPool();

  override createConnection(options: ConnectOptions): Duplex {
    return this.pool.begin(this.getName(options as RequestOptions), (onread) => this.connect(options, onread));
  }

  override destroy(): void {
    super.destroy();
    this.pool.close();
  }

  protected connect(options: ConnectOptions, onread: OnReadOpts): Socket {
    return super.createConnection({ ...options, onread } as ConnectOptions) as Socket;
  }
}

/** https without a proxy. */
export class TappedHttpsAgent extends HttpsAgent {
  readonly #pool = new ConnectionPool();

  override createConnection(options: ConnectOptions): Duplex {
    const connect = (onread: OnReadOpts): Socket => super.createConnection({ ...options, onread } as ConnectOptions) as Socket;
    return this.#pool.begin(this.getName(options as RequestOptions), connect);
  }

  override destroy(): void {
    super.destroy();
    this.#pool.close();
  }
}

/** http through a proxy: requests say the whole URL (RFC 9112 section 3.2.2). */
export class ForwardedHttpAgent extends TappedHttpAgent {
  readonly #proxy: Proxy;

  constructor(proxy: Proxy) {
    super({ keepAlive: true });
    this.#proxy = proxy;
  }

  addRequest(request: ClientRequest, ...rest: unknown[]): void {
    request.path = `http://${request.getHeader("host")}${request.path}`;
    if (this.#proxy.authorization !== undefined) request.setHeader("proxy-authorization", this.#proxy.authorization);
    (HttpAgent.prototype as HttpAgent & AgentInternals).addRequest.call(this, request, ...rest);
  }

  protected override connect(_: ConnectOptions, onread: OnReadOpts): Socket {
    return connectToProxy(this.#proxy, onread);
  }
}

/** https through a proxy: TLS with the server inside a tunnel (RFC 9110 section 9.3.6), so the proxy sees a name and a port. */
export class TunnelledHttpsAgent extends HttpsAgent {
  readonly #proxy: Proxy;
  readonly #pool = new ConnectionPool();
  readonly #opening = new Set<ClientRequest>();

  constructor(proxy: Proxy) {
    super({ keepAlive: true, ...proxy.tls });
    this.#proxy = proxy;
  }

  override createConnection(options: ConnectOptions, connected?: Connected): Duplex | undefined {
    const name = this.getName(options as RequestOptions);
    const idle = this.#pool.idle(name);
    if (idle !== null) return idle;
    const { host, port } = options as { host: string; port: number };
    const fail = (error: Error): void => connected?.(error, undefined as never);
    this.#tunnel(host, port, fail, (socket) => {
      const secure = (): Socket => super.createConnection({ ...options, socket } as ConnectOptions) as Socket;
      connected?.(
        null,
        this.#pool.begin(name, (onread) => readInto(secure(), onread)),
      );
    });
    return undefined;
  }

  override destroy(): void {
    super.destroy();
    for (const each of this.#opening) each.destroy();
    this.#pool.close();
  }

  #tunnel(host: string, port: number, fail: (error: Error) => void, opened: (socket: Socket) => void): void {
    const { url, authorization, tls } = this.#proxy;
    const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, {
      ...tls,
      method: "CONNECT",
      path: authority,
      headers: { host: authority, ...(authorization === undefined ? {} : { "proxy-authorization": authorization }) },
      agent: false,
    });
    this.#opening.add(request);
    request.once("close", () => this.#opening.delete(request));
    request.once("error", fail);
    request.once("connect", ({ statusCode = 0 }, connection, head) => {
      const socket = connection as Socket;
      // Whatever a proxy sends behind its answer is not the server's: TLS begins with us.
      if (statusCode >= 200 && statusCode < 300 && head.length === 0) return opened(socket);
      socket.destroy();
      fail(Object.assign(new Error("the proxy opened no tunnel"), { code: `PROXY_REFUSED_${statusCode}` }));
    });
    request.end();
  }
}

/** Node takes no `onread` for TLS over a socket that exists (`tls.connect({ socket })`): one copy more, but still no parser. */
function readInto(socket: Socket, { callback }: OnReadOpts): Socket {
  return socket.on("data", (piece: Buffer) => {
    if (!callback(piece.length, piece)) socket.pause();
  });
}

function connectToProxy({ url, tls }: Proxy, onread: OnReadOpts): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const secure = url.protocol === "https:";
  const port = Number(url.port === "" ? (secure ? 443 : 80) : url.port);
  if (!secure) return plainConnect({ host, port, onread });
  // Node passes `onread` on, its types do not say so.
  const options = { host, port, ...tls, ...(isIP(host) === 0 ? { servername: host } : {}), onread };
  return tlsConnect(options);
}
