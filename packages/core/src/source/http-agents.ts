/** Connections: pooled, checked by TLS, through proxies where the environment says so. */
import { type Agent, type ClientRequest, Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { OnReadOpts, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { checkServerIdentity } from "node:tls";
import { HttpProxyAgent } from "http-proxy-agent";
import { HttpsProxyAgent } from "https-proxy-agent";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { redact } from "./http-url.ts";
import { publicLookup, refusePrivateHost } from "./private-addresses.ts";
import { proxyFor } from "./proxy-rules.ts";

/** How connections are made. */
export interface ConnectionOptions {
  readonly proxies: ReadonlyMap<string, string>;
  /** Certificates (PEM) of a private authority, trusted instead of the public ones. */
  readonly ca?: string;
  /** Refuse to connect to loopback, private and link-local addresses. A proxy's own address is not checked, and it resolves names itself. */
  readonly blockPrivateAddresses?: boolean;
}

/** Gives each URL the agent of its proxy or the direct one. Owns all of them. */
export class HttpAgents {
  readonly #options: ConnectionOptions;
  readonly #agents = new Map<string, Agent>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /**
   * The agent for a URL.
   * @throws {SourceError} RANKCAST_PROXY for a proxy that is not spoken to over http or https, RANKCAST_ADDRESS_BLOCKED.
   */
  for(url: URL): Agent {
    const proxy = proxyFor(url, this.#options.proxies);
    if (proxy === undefined && this.#options.blockPrivateAddresses) refusePrivateHost(url.hostname);
    const key = `${url.protocol} ${proxy ?? ""}`;
    const present = this.#agents.get(key) ?? this.#create(url.protocol === "https:", proxy);
    this.#agents.set(key, present);
    return present;
  }

  /** Closes idle connections and forgets the pools. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  #create(secure: boolean, proxy: string | undefined): Agent {
    // rejectUnauthorized is said out loud: NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment must not switch the check off.
    const tls = { rejectUnauthorized: true, ...(this.#options.ca === undefined ? {} : { ca: this.#options.ca }) };
    const shared = { keepAlive: true, ...tls, ...(this.#options.blockPrivateAddresses ? { lookup: publicLookup } : {}) };
    if (proxy === undefined) return secure ? new TappedHttpsAgent(shared) : new TappedHttpAgent(shared);
    if (!/^https?:\/\//i.test(proxy)) {
      throw new SourceError("RANKCAST_PROXY", `${quote(redact(proxy))}: expected an http or https proxy`, {
        details: { proxy: redact(proxy) },
      });
    }
    return secure ? new TunnelAgent(proxy, tls) : new HttpProxyAgent(proxy, { keepAlive: true, ...tls });
  }
}

type ConnectOptions = Parameters<HttpAgent["createConnection"]>[0];

/** Connections whose large bodies can be had past Node's parser. */
class TappedHttpAgent extends HttpAgent {
  readonly #pool = new ConnectionPool();

  override createConnection(options: ConnectOptions): Duplex {
    const connect = (onread: OnReadOpts): Socket => super.createConnection({ ...options, onread } as ConnectOptions) as Socket;
    return this.#pool.begin(this.getName(options as { host?: string }), connect);
  }

  override destroy(): void {
    super.destroy();
    this.#pool.close();
  }
}

/** The same over TLS. */
class TappedHttpsAgent extends HttpsAgent {
  readonly #pool = new ConnectionPool();

  override createConnection(options: ConnectOptions): Duplex {
    const connect = (onread: OnReadOpts): Socket => super.createConnection({ ...options, onread } as ConnectOptions) as Socket;
    return this.#pool.begin(this.getName(options as { host?: string }), connect);
  }

  override destroy(): void {
    super.destroy();
    this.#pool.close();
  }
}

interface TlsOptions {
  readonly rejectUnauthorized: boolean;
  readonly ca?: string;
}

type TunnelOptions = Parameters<HttpsProxyAgent<string>["connect"]>[1];

/**
 * https-proxy-agent uses its TLS options for the proxy only and not for the server in the tunnel, and for a server named by its address it compares the
 * certificate with the proxy's address instead.
 */
class TunnelAgent extends HttpsProxyAgent<string> {
  readonly #tls: TlsOptions;

  constructor(proxy: string, tls: TlsOptions) {
    super(proxy, { keepAlive: true, ...tls });
    this.#tls = tls;
  }

  override async connect(request: ClientRequest, options: TunnelOptions): Promise<Awaited<ReturnType<HttpsProxyAgent<string>["connect"]>>> {
    const host = options.host ?? "";
    return super.connect(request, {
      ...options,
      ...this.#tls,
      checkServerIdentity: (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) => checkServerIdentity(host, certificate),
    } as TunnelOptions);
  }
}
