/** Connections: pooled, checked by TLS, through proxies where the environment says so. */
import type { Agent } from "node:http";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { parseHttpUrl, redact } from "./http-url.ts";
import { publicLookup, refusePrivateHost } from "./private-addresses.ts";
import { proxyFor } from "./proxy-rules.ts";
import { ForwardedHttpAgent, TappedHttpAgent, TappedHttpsAgent, TunnelledHttpsAgent } from "./tapped-agents.ts";

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
    const { url, authorization } = parseHttpUrl(proxy);
    return secure ? new TunnelledHttpsAgent({ url, authorization, tls }) : new ForwardedHttpAgent({ url, authorization, tls });
  }
}
