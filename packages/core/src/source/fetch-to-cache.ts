/** A URL as a complete, verified, immutable local file: from the cache, or downloaded once however many ask at the same time. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { type CacheEntry, isIntact, objectPath, readEntry, touchEntry } from "./cache-entry.ts";
import { type CacheLayout, torchHubDirectory } from "./cache-layout.ts";
import { storeObject } from "./cache-store.ts";
import type { ReadStats } from "./counting-source.ts";
import { digestMismatch, type ExpectedDigest, expectedDigest, meets } from "./expected-digest.ts";
import type { FetchEvent } from "./fetch-event.ts";
import { type FetchContext, type FetchOptions, openFetchContext } from "./fetch-options.ts";
import type { DownloadOutcome } from "./http-download.ts";
import { type HttpTarget, parseHttpUrl, readableName, urlKey } from "./http-url.ts";
import { lockedDownload } from "./locked-download.ts";
import type { PartialFile } from "./partial-file.ts";
import { sweepTemporaries } from "./partial-store.ts";
import { revalidate } from "./revalidate.ts";
import { findInTorchCache } from "./torch-cache.ts";

/** A file of the cache. */
export interface FetchedFile {
  readonly path: string;
  /** Lower-case hex of the content, always computed from the bytes. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Nobody rewrites it in place: it may be mapped. False for a file of another program's cache. */
  readonly immutable: boolean;
  /** The URL without secrets. */
  readonly name: string;
  /** What was asked of servers for it. */
  readonly origin: ReadStats;
}

/**
 * Gives a local file with the content of an http or https URL.
 * @throws {SourceError} NOT_FOUND, NETWORK*, TLS, PROXY, HTTP_*, REDIRECT, SOURCE_CHANGED, HASH_MISMATCH, OFFLINE, CACHE_WRITE, DISK_FULL (all RANKCAST_);
 * {UsageError} RANKCAST_USAGE for a malformed URL or digest; the reason of an aborted signal.
 */
export async function fetchToCache(url: string, options: FetchOptions = {}): Promise<FetchedFile> {
  options.signal?.throwIfAborted();
  const target = parseHttpUrl(url);
  const context = openFetchContext(options);
  try {
    return await new Fetch(context, target).run();
  } finally {
    context.session.close();
  }
}

/**
 * The same, but only when no byte has to be downloaded; null otherwise. The server may be asked whether the file is still the same.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_HTTP_AUTH; {UsageError} RANKCAST_USAGE; the reason of an aborted signal.
 */
export async function findInCache(url: string, options: FetchOptions = {}): Promise<FetchedFile | null> {
  const target = parseHttpUrl(url);
  const context = openFetchContext(options);
  try {
    return await new Fetch(context, target).find();
  } finally {
    context.session.close();
  }
}

class Fetch {
  readonly #context: FetchContext;
  readonly #target: HttpTarget;
  readonly #layout: CacheLayout;
  readonly #key: string;
  readonly #expected: ExpectedDigest | null;
  /** When the entry was stored that the server has something newer than; null without one. */
  #outdated: string | null = null;

  constructor(context: FetchContext, target: HttpTarget) {
    const { sha256, tablePrefix, ignoreNameDigest } = context.options;
    this.#context = context;
    this.#target = target;
    this.#layout = context.layout;
    this.#key = urlKey(target.url);
    this.#expected = expectedDigest(target.url, {
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(tablePrefix === undefined ? {} : { tablePrefix }),
      ...(ignoreNameDigest ? { ignoreName: true } : {}),
    });
  }

  async run(): Promise<FetchedFile> {
    const cached = await this.find();
    if (cached !== null) return cached;
    if (this.#context.offline) {
      throw new SourceError(
        "RANKCAST_OFFLINE",
        `${printable(this.#target.name)}: not in the cache ${printable(this.#layout.root)}, and the network is off`,
        {
          details: { url: this.#target.name, cache: this.#layout.root },
        },
      );
    }
    return lockedDownload(this.#context, this.#target, {
      key: this.#key,
      lockRoot: this.#layout.root,
      partialDirectory: this.#layout.partial,
      digestKnown: this.#expected?.enforced === true,
      // Whoever held the lock has just downloaded it, and its file is taken as it is. The one that was there before is not what is wanted.
      present: async () => {
        const entry = await this.#intactEntry();
        return entry === null || entry.storedAt === this.#outdated ? null : this.#hit(entry);
      },
      store: (partial, outcome, digests) => this.#store(partial, outcome, this.#verify(digests)),
      sweep: async () => {
        for (const directory of [this.#layout.root, this.#layout.urls, this.#layout.verified]) await sweepTemporaries(directory);
      },
    });
  }

  async find(): Promise<FetchedFile | null> {
    return (await this.#usableFile()) ?? (await this.#torchFile());
  }

  /** The entry when its file is there, intact and what is expected. */
  async #intactEntry(): Promise<CacheEntry | null> {
    const entry = await readEntry(this.#layout, this.#key);
    const usable =
      entry !== null && this.#isAcceptable(entry.sha256) && (await isIntact(this.#layout, entry, this.#context.options.signal));
    return usable ? entry : null;
  }

  /** The cached file when it is still what the URL stands for: proved by a digest, or by asking the server. */
  async #usableFile(): Promise<FetchedFile | null> {
    const entry = await this.#intactEntry();
    if (entry === null) return null;
    const pinned = this.#expected?.enforced || this.#context.offline || this.#context.options.revalidate === false;
    if (pinned) return this.#hit(entry);
    const freshness = await revalidate(this.#context.session, this.#target, entry);
    if (freshness.state === "unknown") {
      const message = `${this.#target.name}: used from the cache as it is: ${freshness.why.message}`;
      this.#tell({ type: "notice", code: "RANKCAST_CACHE_UNCONFIRMED", message });
    }
    if (freshness.state !== "changed") return this.#hit(entry);
    this.#outdated = entry.storedAt;
    return null;
  }

  async #torchFile(): Promise<FetchedFile | null> {
    if (!this.#expected?.enforced) return null;
    const found = await findInTorchCache(
      this.#layout,
      torchHubDirectory(this.#context.environment),
      this.#target.url,
      this.#expected,
      this.#context.options.signal,
    );
    if (found === null) return null;
    this.#context.stats.cacheHits += 1;
    return { ...found, immutable: false, name: this.#target.name, origin: { ...this.#context.stats } };
  }

  #verify(digests: ReadonlyMap<string, string>): string {
    const { name } = this.#target;
    const sha256 = digests.get("sha256") ?? "";
    if (this.#expected !== null && !meets(this.#expected, sha256)) {
      const mismatch = digestMismatch(name, this.#expected.prefix, sha256, "sha256");
      if (this.#expected.enforced) throw mismatch;
      this.#tell({ type: "notice", code: "RANKCAST_HASH_UNPROVED", message: mismatch.message });
    }
    return sha256;
  }

  async #store(partial: PartialFile, outcome: DownloadOutcome, sha256: string): Promise<FetchedFile> {
    const entry = await storeObject(this.#layout, partial, {
      version: 1,
      key: this.#key,
      url: this.#target.name,
      finalUrl: outcome.finalName,
      sizeBytes: outcome.sizeBytes,
      sha256,
      name: readableName(this.#target.url),
      etag: outcome.etag,
      lastModified: outcome.lastModified,
      storedAt: new Date().toISOString(),
    });
    this.#context.stats.bytesNeeded += outcome.sizeBytes;
    return this.#file(entry);
  }

  async #hit(entry: CacheEntry): Promise<FetchedFile> {
    this.#context.stats.cacheHits += 1;
    await touchEntry(this.#layout, this.#key);
    return this.#file(entry);
  }

  #file(entry: CacheEntry): FetchedFile {
    return {
      path: objectPath(this.#layout, entry),
      sha256: entry.sha256,
      sizeBytes: entry.sizeBytes,
      immutable: true,
      name: this.#target.name,
      origin: { ...this.#context.stats },
    };
  }

  #isAcceptable(sha256: string): boolean {
    return this.#expected === null || !this.#expected.enforced || meets(this.#expected, sha256);
  }

  #tell(event: FetchEvent): void {
    this.#context.options.onProgress?.(event);
  }
}
