/** `hf://`: files and folders of the Hugging Face hub, through its own cache. */
import { createHash } from "node:crypto";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { openArriving } from "../source/arriving-source.ts";
import type { ByteSource, ResolvedSource, Siblings } from "../source/byte-source.ts";
import { cacheLayout } from "../source/cache-layout.ts";
import { requireDigest } from "../source/demanded-digest.ts";
import { describedSource } from "../source/described-source.ts";
import { directorySiblings, refuseUnsafeName } from "../source/directory-siblings.ts";
import { syncDirectory, writeError } from "../source/durable-file.ts";
import { digestMismatch } from "../source/expected-digest.ts";
import { type FetchContext, openFetchContext } from "../source/fetch-options.ts";
import { markOf } from "../source/file-mark.ts";
import { openFile } from "../source/file-source.ts";
import { openHttp } from "../source/http-source.ts";
import { parseHttpUrl } from "../source/http-url.ts";
import { lockedDownload } from "../source/locked-download.ts";
import { resolved } from "../source/open-local.ts";
import type { PartialWatcher } from "../source/partial-watcher.ts";
import { Permits } from "../source/permits.ts";
import { rememberedSha256 } from "../source/verification-memory.ts";
import { type HubFile, headFile, hubToken, listRevision, resolveUrl } from "./hugging-face-api.ts";
import { cachedCommit, type HubCache, hubCache, linkSnapshot, snapshotEntry, storeRef } from "./hugging-face-cache.ts";
import { type HubLocation, parseHubUri } from "./hugging-face-location.ts";
import { eitherSignal, notice, type ResolveOptions, type SettledOptions, settleOptions } from "./resolve-context.ts";
import { FILES_MAX, prefetchShards } from "./shard-prefetch.ts";

/**
 * Opens a file, a folder or a repository. The revision is resolved to a commit once, and every file is taken from that commit. Content is verified
 * against the hub's digest (SHA-256 of large files, git blob id of small ones).
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_HTTP_AUTH, RANKCAST_OFFLINE, and as `fetchToCache`; {UsageError} RANKCAST_USAGE.
 */
export async function loadFromHuggingFace(uri: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const context = settleOptions(options);
  const location = parseHubUri(uri);
  const token = await hubToken(context.environment, context.token);
  const { token: _, ...withoutToken } = context;
  const stop = new AbortController();
  const signal = eitherSignal(context.signal, stop.signal);
  const fetch = openFetchContext({ ...withoutToken, signal, ...(token === undefined ? {} : { token }) }, context.stats);
  const repository = new HubRepository({ ...context, signal }, fetch, location, stop);
  try {
    return await repository.open();
  } catch (error) {
    await repository.close();
    throw error;
  }
}

class HubRepository {
  readonly #context: SettledOptions;
  readonly #fetch: FetchContext;
  readonly #location: HubLocation;
  readonly #cache: HubCache;
  readonly #opened = new Map<string, Promise<ByteSource>>();
  readonly #stop: AbortController;
  readonly #permits = new Permits(FILES_MAX);
  #commit = "";
  #files: Promise<readonly string[]> | undefined;

  constructor(context: SettledOptions, fetch: FetchContext, location: HubLocation, stop: AbortController) {
    this.#stop = stop;
    this.#context = context;
    this.#fetch = fetch;
    this.#location = location;
    this.#cache = hubCache(context.environment, context.cacheDir, location);
  }

  async open(): Promise<ResolvedSource> {
    if (this.#context.offline || this.#context.environment.huggingFace.offline) return this.#openCached(null);
    try {
      return await this.#openOnline();
    } catch (error) {
      this.#context.signal?.throwIfAborted();
      if (!(error instanceof SourceError) || error.class !== "network") throw error;
      return this.#openCached(error);
    }
  }

  async close(): Promise<void> {
    // What was fetched ahead and nobody waits for any more.
    this.#stop.abort();
    const sources = [...this.#opened.values()];
    this.#opened.clear();
    await Promise.all(sources.map(async (source) => (await source.catch(() => undefined))?.close()));
    this.#fetch.session.close();
  }

  async #openOnline(): Promise<ResolvedSource> {
    const { path } = this.#location;
    const file = path === "" ? null : await this.#head(this.#location.revision, path).catch(ignoreMissing);
    if (file === null) return this.#openFolder();
    // What the hub says of a large file is compared before any of it is fetched; what is fetched is compared with that.
    const stated = SHA256.test(file.etag);
    if (stated) await requireDigest(this.#name(path), this.#context.sha256, async () => file.etag);
    this.#commit = file.commit;
    await storeRef(this.#cache, this.#location.revision, file.commit).catch(ignoreUnwritable);
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    const name = path.slice(folder.length);
    const siblings = this.#siblings(folder);
    const entry = await this.#open(path, file);
    if (!stated) await this.#requireDigest(path, entry.file?.path ?? null);
    await prefetchShards(name, entry, siblings, this.#context);
    return { name: this.#name(path), entry, siblings, close: () => this.close() };
  }

  #requireDigest(path: string, file: string | null): Promise<void> {
    const { sha256, signal, environment, cacheDir } = this.#context;
    const found = file === null ? null : () => rememberedSha256(cacheLayout(environment, cacheDir), file, signal);
    return requireDigest(this.#name(path), sha256, found);
  }

  async #openFolder(): Promise<ResolvedSource> {
    await requireDigest(this.#name(this.#location.path), this.#context.sha256, null);
    const { commit, files } = await listRevision(this.#fetch.session, this.#context.environment, this.#location);
    const folder = this.#location.path === "" ? "" : `${this.#location.path}/`;
    if (!files.some((each) => each.startsWith(folder))) {
      throw new SourceError("RANKCAST_NOT_FOUND", `${this.#name(this.#location.path)}: neither a file nor a folder of commit ${commit}`, {
        details: { url: this.#name(this.#location.path), commit },
        remedy: "Check the path on the hub.",
      });
    }
    this.#commit = commit;
    this.#files = Promise.resolve(files);
    await storeRef(this.#cache, this.#location.revision, commit).catch(ignoreUnwritable);
    return { name: this.#name(this.#location.path), entry: null, siblings: this.#siblings(folder), close: () => this.close() };
  }

  /** What an earlier run left, when the network is off (`why` null) or down. */
  async #openCached(why: SourceError | null): Promise<ResolvedSource> {
    const { revision, path } = this.#location;
    const commit = await cachedCommit(this.#cache, revision);
    const found = commit === null ? null : await snapshotEntry(this.#cache, commit, path);
    if (found === null) {
      if (why !== null) throw why;
      throw new SourceError("RANKCAST_OFFLINE", `${this.#name(path)}: not in the Hugging Face cache, and the network is off`, {
        details: { url: this.#name(path), revision },
      });
    }
    if (why !== null)
      notice(this.#context, "RANKCAST_CACHE_UNCONFIRMED", `${this.#name(path)}: used from the cache as it is: ${why.message}`);
    await this.#requireDigest(path, found.kind === "file" ? found.path : null);
    this.#fetch.stats.cacheHits += 1;
    await this.close();
    const folder = found.kind === "file" ? join(found.path, "..") : found.path;
    const entry = found.kind === "file" ? describedSource(await openFile(found.path, { immutable: true }), this.#name(path)) : null;
    return resolved(this.#name(path), entry, directorySiblings(folder, { immutable: true }));
  }

  #siblings(folder: string): Siblings {
    const siblings: Siblings = {
      list: async () => {
        this.#files ??= listRevision(this.#fetch.session, this.#context.environment, { ...this.#location, revision: this.#commit }).then(
          (each) => each.files,
        );
        const inside = (await this.#files).filter((each) => each.startsWith(folder)).map((each) => each.slice(folder.length));
        return inside.filter((each) => each.split("/").length <= 2).sort();
      },
      open: async (name) => {
        refuseUnsafeName(name, this.#name(folder));
        const source = await this.#open(`${folder}${name}`);
        return source;
      },
      // The repository owns them.
      close: async () => undefined,
    };
    return {
      ...siblings,
      open: async (name) => {
        const source = await siblings.open(name);
        await prefetchShards(name, source, siblings, this.#context);
        return source;
      },
    };
  }

  /** A file opened twice is one source; a failure is not kept. */
  #open(path: string, known?: HubFile): Promise<ByteSource> {
    const present = this.#opened.get(path) ?? this.#openFile(path, known);
    this.#opened.set(path, present);
    return present.catch((error: unknown) => {
      this.#opened.delete(path);
      throw error;
    });
  }

  async #openFile(path: string, known?: HubFile): Promise<ByteSource> {
    const file = known ?? (await this.#head(this.#commit, path));
    const blob = join(this.#cache.blobs, file.etag);
    const present = await this.#verifiedBlob(blob, file);
    // A file of which the hub states no SHA-256 is proved from its bytes, when one is demanded.
    const early = this.#context.sha256 === undefined || SHA256.test(file.etag);
    if (present === null && early && this.#context.access === "ranges") {
      return describedSource(await openHttp(this.#fetch.session, this.#url(path)), this.#name(path));
    }
    if (present === null && early && this.#context.arriving)
      return openArriving(this.#name(path), (watcher) => this.#fetchBlob(path, file, watcher));
    if (present === null) return this.#fetchBlob(path, file);
    this.#fetch.stats.cacheHits += 1;
    return this.#openBlob(path, file);
  }

  async #fetchBlob(path: string, file: HubFile, watcher?: PartialWatcher): Promise<ByteSource> {
    await this.#permits.with(() => this.#download(path, file, join(this.#cache.blobs, file.etag), watcher));
    return this.#openBlob(path, file);
  }

  async #openBlob(path: string, file: HubFile): Promise<ByteSource> {
    await linkSnapshot(this.#cache, this.#commit, path, file.etag).catch(ignoreUnwritable);
    const sha256 = file.etag.length === 64 ? { sha256: file.etag } : {};
    return describedSource(await openFile(join(this.#cache.blobs, file.etag), { immutable: true }), this.#name(path), sha256);
  }

  /** A blob is named by its digest, so it can be proved; one that only has a name the hub made up is compared by size. */
  async #verifiedBlob(blob: string, file: HubFile): Promise<true | null> {
    const mark = await markOf(blob);
    if (mark === null || (file.sizeBytes !== null && mark.sizeBytes !== file.sizeBytes)) return null;
    if (!SHA256.test(file.etag)) return true;
    const layout = cacheLayout(this.#context.environment, this.#context.cacheDir);
    return (await rememberedSha256(layout, blob, this.#context.signal)) === file.etag ? true : null;
  }

  #download(path: string, file: HubFile, blob: string, watcher: PartialWatcher | undefined): Promise<true> {
    const target = { ...parseHttpUrl(this.#url(path)), name: this.#name(path) };
    return lockedDownload<true>(this.#fetch, target, {
      key: createHash("sha256").update(`${this.#cache.blobs}\n${file.etag}`).digest("hex"),
      lockRoot: this.#cache.lockRoot,
      partialDirectory: this.#cache.blobs,
      watcher,
      digestKnown: DIGEST.test(file.etag),
      algorithms: file.etag.length === 40 ? ["git-sha1"] : [],
      present: () => this.#verifiedBlob(blob, file),
      store: async (partial, outcome, digests) => {
        if (DIGEST.test(file.etag)) {
          const algorithm = file.etag.length === 64 ? "sha256" : "git-sha1";
          const actual = digests.get(algorithm) ?? "";
          if (actual !== file.etag) throw digestMismatch(target.name, file.etag, actual, algorithm);
        }
        await rename(partial.path, blob).catch((error: unknown) => {
          throw writeError(blob, error);
        });
        await partial.discard();
        await syncDirectory(this.#cache.blobs);
        this.#fetch.stats.bytesNeeded += outcome.sizeBytes;
        return true;
      },
    });
  }

  #head(revision: string, path: string): Promise<HubFile> {
    return headFile(this.#fetch.session, this.#context.environment, this.#location, revision, path);
  }

  #url(path: string): string {
    return resolveUrl(this.#context.environment, this.#location, this.#commit, path);
  }

  #name(path: string): string {
    const { kind, repo, revision } = this.#location;
    return `hf://${kind === "models" ? "" : `${kind}/`}${repo}${revision === "main" ? "" : `@${printable(revision)}`}${path === "" ? "" : `/${printable(path)}`}`;
  }
}

const SHA256 = /^[0-9a-f]{64}$/;
const DIGEST = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

function ignoreMissing(error: unknown): null {
  if (error instanceof SourceError && error.code === "RANKCAST_NOT_FOUND") return null;
  throw error;
}

/** A cache that can only be read still serves what it has. */
function ignoreUnwritable(error: unknown): undefined {
  if (!(error instanceof SourceError) || error.class !== "cache") throw error;
}
