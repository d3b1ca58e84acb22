/** A file behind an http or https URL as a resolved source: from the cache, or read by ranges. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { openArriving } from "../source/arriving-source.ts";
import type { ByteSource, ResolvedSource, Siblings } from "../source/byte-source.ts";
import { addReadStats } from "../source/counting-source.ts";
import { describedSource } from "../source/described-source.ts";
import { refuseUnsafeName } from "../source/directory-siblings.ts";
import { type DigestKnowledge, expectedDigest } from "../source/expected-digest.ts";
import { type FetchOptions, openFetchContext } from "../source/fetch-options.ts";
import { fetchToCache, findInCache } from "../source/fetch-to-cache.ts";
import { openFile } from "../source/file-source.ts";
import { send } from "../source/http-request.ts";
import { openHttp, SMALL_BLOCK_BYTES } from "../source/http-source.ts";
import { parseHttpUrl } from "../source/http-url.ts";
import { resolved } from "../source/open-local.ts";
import { Permits } from "../source/permits.ts";
import { remoteVersion } from "../source/remote-version.ts";
import { eitherSignal, type SettledOptions } from "./resolve-context.ts";
import { FILES_MAX, prefetchShards } from "./shard-prefetch.ts";

/** What a scheme knows about a file beside its URL. */
export interface RemoteKnowledge {
  readonly tablePrefix?: DigestKnowledge["tablePrefix"];
  readonly sign?: FetchOptions["sign"];
  /** Name for messages; the URL without secrets when absent. */
  readonly name?: string;
  /** Bounds how many files are downloaded at once. */
  readonly permits?: Permits;
}

/**
 * Opens the file and gives access to the files beside it (same directory of the URL, same credentials).
 * @throws {SourceError} as `fetchToCache` and `openHttp`.
 */
export async function openRemote(url: string, context: SettledOptions, known: RemoteKnowledge = {}): Promise<ResolvedSource> {
  const target = applyMirrors(url, context);
  const entry = await openRemoteFile(target, context, known);
  const siblings = remoteSiblings(target, context, known);
  await prefetchShards(parseHttpUrl(target).url.pathname, entry, siblings, context);
  return resolved(entry.name, entry, siblings);
}

/** Opens one file. @throws {SourceError} as `fetchToCache` and `openHttp`. */
export async function openRemoteFile(url: string, context: SettledOptions, known: RemoteKnowledge = {}): Promise<ByteSource> {
  const options: FetchOptions = {
    ...context,
    ...(known.tablePrefix ? { tablePrefix: known.tablePrefix } : {}),
    ...(known.sign ? { sign: known.sign } : {}),
  };
  const name = known.name ?? parseHttpUrl(url).name;
  if (await isStriped(url, options, context)) {
    const ranged = await openRanged(url, options, context);
    if (ranged !== null) return describedSource(ranged, name);
  }
  const describes = context.access === "describe-stripes";
  // A digest of the whole file can only be compared with the whole file.
  if ((context.access === "ranges" || describes) && !context.offline && context.sha256 === undefined) {
    const cached = await findInCache(url, options);
    const ranged = cached === null ? await openRanged(url, options, { ...context, access: "ranges" }) : null;
    if (ranged !== null) return { ...describedSource(ranged, name), ...(describes ? { oneReader: true as const } : {}) };
  }
  const fetchWhole = async (more: Pick<FetchOptions, "watcher" | "signal">): Promise<ByteSource> => {
    const fetched = await (known.permits ?? new Permits(1)).with(() => fetchToCache(url, { ...options, ...more }));
    addReadStats(context.stats, fetched.origin);
    return describedSource(await openFile(fetched.path, { immutable: fetched.immutable }), name, { sha256: fetched.sha256 });
  };
  if (!context.arriving) return fetchWhole({});
  return openArriving(name, (watcher, stop) => fetchWhole({ watcher, signal: eitherSignal(context.signal, stop) }));
}

/** Whether several nodes are to read a part each. With `stripes` (and to describe it) that is asked of the cache and of the server, who sends no byte of the file. */
async function isStriped(url: string, options: FetchOptions, context: SettledOptions): Promise<boolean> {
  if (context.access === "stripes-only") return true;
  if ((context.access !== "stripes" && context.access !== "describe-stripes") || context.offline) return false;
  const { tablePrefix, sha256, ignoreNameDigest } = options;
  // A digest of the whole file can only be compared with the whole file.
  const digest = expectedDigest(parseHttpUrl(url).url, {
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(tablePrefix === undefined ? {} : { tablePrefix }),
    ...(ignoreNameDigest ? { ignoreName: true } : {}),
  });
  if (digest?.enforced || (await findInCache(url, options)) !== null) return false;
  return isWorthStriping(url, options, context);
}

/** Parts that different nodes read can be put together only where a strong entity tag says that they are of one version. */
async function isWorthStriping(url: string, options: FetchOptions, context: SettledOptions): Promise<boolean> {
  const { session } = openFetchContext(options, context.stats);
  try {
    const response = await send(session, parseHttpUrl(url), { method: "HEAD" });
    response.discard();
    const sizeBytes = response.lengthBytes ?? 0;
    const hasRanges = response.header("accept-ranges")?.trim().toLowerCase() === "bytes";
    return (
      response.status === 200 && hasRanges && sizeBytes >= context.limits.stripeBytesMin && "etag" in remoteVersion(response, sizeBytes)
    );
  } catch {
    // Addresses that are signed for GET, servers without HEAD: the download says what is wrong, if anything is.
    context.signal?.throwIfAborted();
    return false;
  } finally {
    session.close();
  }
}

/** The URL with the first matching beginning replaced. */
export function applyMirrors(url: string, context: SettledOptions): string {
  const mirror = context.tables?.mirrors?.find(([from]) => url.startsWith(from));
  return mirror ? mirror[1] + url.slice(mirror[0].length) : url;
}

/** Null when the server has no ranges: the file must then be downloaded. */
async function openRanged(url: string, options: FetchOptions, context: SettledOptions): Promise<ByteSource | null> {
  const { session } = openFetchContext(options, context.stats);
  try {
    const source = await openHttp(session, url, context.access === "ranges" ? undefined : SMALL_BLOCK_BYTES);
    return {
      name: source.name,
      sizeBytes: source.sizeBytes,
      version: source.version,
      readInto: (target, offset, signal) => source.readInto(target, offset, signal),
      async close() {
        await source.close();
        session.close();
      },
    };
  } catch (error) {
    session.close();
    const hasNone = error instanceof SourceError && error.code === "RANKCAST_HTTP_RANGE";
    if (hasNone && context.access !== "stripes-only") return null;
    throw error;
  }
}

function remoteSiblings(url: string, context: SettledOptions, known: RemoteKnowledge): Siblings {
  const opened = new Map<string, Promise<ByteSource>>();
  // A digest given by the caller or a table is the entry's, not its siblings'.
  const { sha256: _, ...others } = context;
  const stop = new AbortController();
  const siblingContext = { ...others, signal: eitherSignal(context.signal, stop.signal) };
  // Sources are given while they arrive, so whoever opens them one after the other would otherwise download all at once.
  const siblingKnown: RemoteKnowledge = { permits: new Permits(FILES_MAX), ...(known.sign ? { sign: known.sign } : {}) };
  return {
    list: async () => null,
    async open(name) {
      refuseUnsafeName(name, parseHttpUrl(url).name);
      const path = name.split("/").map(encodeURIComponent).join("/");
      const present = opened.get(name) ?? openRemoteFile(new URL(path, url).href, siblingContext, siblingKnown);
      opened.set(name, present);
      return present.catch((error: unknown) => {
        opened.delete(name);
        throw error;
      });
    },
    async close() {
      // What was fetched ahead and nobody waits for any more.
      stop.abort();
      const sources = [...opened.values()];
      opened.clear();
      await Promise.all(sources.map(async (source) => (await source.catch(() => undefined))?.close()));
    },
  };
}
