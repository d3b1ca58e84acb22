/** Options of everything that fetches, and what they come to. */
import { type Environment, readEnvironment } from "../environment/environment.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import type { AcquireLock } from "./acquire-lock.ts";
import { acquireLock } from "./acquire-lock.ts";
import { type CacheLayout, cacheLayout } from "./cache-layout.ts";
import { newReadStats, type ReadStats } from "./counting-source.ts";
import type { DigestKnowledge } from "./expected-digest.ts";
import type { FetchListener } from "./fetch-event.ts";
import { type HttpOptions, type HttpSession, openHttpSession } from "./http-session.ts";
import type { PartialWatcher } from "./partial-watcher.ts";

/** How to fetch a file into the cache. */
export interface FetchOptions {
  /** Cache directory; wins over the environment. */
  readonly cacheDir?: string | undefined;
  /** The content's whole SHA-256; wins over what names and tables say. */
  readonly sha256?: string | undefined;
  /** From a weight table. */
  readonly tablePrefix?: DigestKnowledge["tablePrefix"];
  /** Do not enforce a digest that only the file's name claims. */
  readonly ignoreNameDigest?: boolean | undefined;
  /** Never use the network. */
  readonly offline?: boolean | undefined;
  /** A cached file without a known digest: ask the server whether it is still the same (default), or believe it. */
  readonly revalidate?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: FetchListener | undefined;
  readonly limits?: Limits | undefined;
  /** To the URL's own origin only. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** `Authorization: Bearer`, to the URL's own origin only. */
  readonly token?: string | undefined;
  readonly sign?: HttpOptions["sign"];
  readonly ca?: string | undefined;
  readonly blockPrivateAddresses?: boolean | undefined;
  readonly environment?: Environment | undefined;
  /** Reads the file while it is downloaded. */
  readonly watcher?: PartialWatcher | undefined;
  /** For tests: another lock. */
  readonly lock?: AcquireLock | undefined;
}

/** Options with every default filled in. */
export interface FetchContext {
  readonly options: FetchOptions;
  readonly layout: CacheLayout;
  readonly environment: Environment;
  readonly limits: Limits;
  readonly offline: boolean;
  readonly lock: AcquireLock;
  readonly stats: ReadStats;
  readonly session: HttpSession;
}

/** Fills in the defaults and opens a session, which the caller closes. Everything is counted into `stats`. */
export function openFetchContext(options: FetchOptions, stats: ReadStats = newReadStats()): FetchContext {
  const environment = options.environment ?? readEnvironment();
  const limits = options.limits ?? DEFAULT_LIMITS;
  const session = openHttpSession({
    signal: options.signal,
    limits,
    proxies: environment.proxies,
    headers: { ...options.headers, ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }) },
    stats,
    ...(options.sign ? { sign: options.sign } : {}),
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    ...(options.blockPrivateAddresses ? { blockPrivateAddresses: true } : {}),
  });
  return {
    options,
    layout: cacheLayout(environment, options.cacheDir),
    environment,
    limits,
    offline: options.offline ?? environment.offline,
    lock: options.lock ?? acquireLock,
    stats,
    session,
  };
}
