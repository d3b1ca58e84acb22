/** What the requests of one load share: connections, credentials, limits, counters. */
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import { newReadStats, type ReadStats } from "./counting-source.ts";
import { HttpAgents } from "./http-agents.ts";
import { Permits } from "./permits.ts";

/** A request about to be sent to the origin the caller named; `sign` adds to its headers. */
export interface SignableRequest {
  readonly url: URL;
  readonly method: "GET" | "HEAD";
}

/** How to talk to servers. */
export interface HttpOptions {
  readonly signal?: AbortSignal | undefined;
  readonly limits?: Limits;
  /** From the environment; none when absent. */
  readonly proxies?: ReadonlyMap<string, string>;
  /** Sent to the URL's own origin only, never along a redirect to another. Any of them may be a secret. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes the headers that authorise one request to the URL's own origin (S3 signatures, refreshed tokens). */
  readonly sign?: (request: SignableRequest) => Promise<Readonly<Record<string, string>>>;
  /** Certificates (PEM) of a private authority. */
  readonly ca?: string;
  readonly blockPrivateAddresses?: boolean;
  /** Counters to add to. */
  readonly stats?: ReadStats;
}

/** An `HttpOptions` with its connections open. */
export interface HttpSession {
  readonly signal: AbortSignal | undefined;
  readonly limits: Limits;
  readonly agents: HttpAgents;
  readonly headers: Readonly<Record<string, string>>;
  readonly sign: HttpOptions["sign"];
  readonly stats: ReadStats;
  /** Bodies received at once, over all files of the session. */
  readonly connections: Permits;
  /** Closes the connections. */
  close(): void;
}

/** Opens a session; nothing is sent yet. */
export function openHttpSession(options: HttpOptions = {}): HttpSession {
  const agents = new HttpAgents({
    proxies: options.proxies ?? new Map(),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.blockPrivateAddresses ? { blockPrivateAddresses: true } : {}),
  });
  const limits = options.limits ?? DEFAULT_LIMITS;
  return {
    signal: options.signal,
    limits,
    connections: new Permits(limits.httpConnections),
    agents,
    headers: options.headers ?? {},
    sign: options.sign,
    stats: options.stats ?? newReadStats(),
    close: () => agents.close(),
  };
}
