/** Verifying, removing and pruning the cache. A file that is open or mapped stays readable for whoever has it. */
import { rm } from "node:fs/promises";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { removeEntry } from "./cache-entry.ts";
import type { CacheLayout } from "./cache-layout.ts";
import { type CachedUrl, listCache, listOrphans } from "./cache-list.ts";
import { hashFile } from "./content-hash.ts";
import { parseHttpUrl, redact, urlKey } from "./http-url.ts";
import { sweepPartials, sweepTemporaries } from "./partial-store.ts";

/** Outcome of looking at one cached file's content. */
export interface VerifiedUrl {
  readonly url: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly state: "ok" | "damaged" | "missing";
}

/** What a removal did. */
export interface CacheRemoval {
  readonly urls: readonly string[];
  readonly freedBytes: number;
}

/** What to prune beside what is useless anyway. */
export interface PruneOptions {
  /** Remove what was not used for this long. */
  readonly unusedForMs?: number;
  /** Then remove the least recently used until the rest is at most this large. */
  readonly maxBytes?: number;
  /** Time, injected. */
  readonly nowMs?: number;
}

/** An object without entry may belong to a download that is just being stored. */
const ORPHAN_MS = 3600 * 1000;

/** Hashes every cached file again, one after the other; damaged ones are removed when told. @throws the reason of an aborted signal. */
export async function verifyCache(
  layout: CacheLayout,
  options: { readonly remove?: boolean; readonly signal?: AbortSignal; readonly onVerified?: (result: VerifiedUrl) => void } = {},
): Promise<VerifiedUrl[]> {
  const results: VerifiedUrl[] = [];
  const states = new Map<string, VerifiedUrl["state"]>();
  for (const cached of await listCache(layout)) {
    const state = states.get(cached.path) ?? (await contentState(cached, options.signal));
    states.set(cached.path, state);
    const result = { url: cached.entry.url, path: cached.path, sizeBytes: cached.entry.sizeBytes, state };
    results.push(result);
    options.onVerified?.(result);
    if (options.remove && state !== "ok") await removeEntry(layout, cached.entry, true);
  }
  return results;
}

/**
 * Removes what `selector` names: a URL, the beginning (at least 8 digits) of a SHA-256, or a path inside the cache.
 * @throws {SourceError} RANKCAST_NOT_FOUND when it names nothing.
 */
export async function removeFromCache(layout: CacheLayout, selector: string): Promise<CacheRemoval> {
  const cached = await listCache(layout);
  const chosen = cached.filter((each) => isSelected(each, selector));
  if (chosen.length === 0) {
    throw new SourceError(
      "RANKCAST_NOT_FOUND",
      `${printable(redact(selector))}: nothing in the cache ${printable(layout.root)} has this URL, digest or path`,
      {
        details: { selector: redact(selector), cache: layout.root },
        remedy: "List the cache with `rankcast cache ls`.",
      },
    );
  }
  return removeUrls(layout, cached, chosen);
}

/** Removes left-overs (dead partial downloads, orphaned objects, entries without object), then what is old, then what is too much. */
export async function pruneCache(layout: CacheLayout, options: PruneOptions = {}): Promise<CacheRemoval> {
  const nowMs = options.nowMs ?? Date.now();
  for (const directory of [layout.root, layout.urls, layout.verified]) await sweepTemporaries(directory);
  let freedBytes = await sweepPartials(layout.partial, 0, nowMs);
  const cached = await listCache(layout);
  for (const orphan of await listOrphans(layout, cached)) {
    if (nowMs - orphan.changedMs < ORPHAN_MS) continue;
    await rm(orphan.path, { recursive: true, force: true });
    freedBytes += orphan.sizeBytes;
  }
  const removed = await removeUrls(layout, cached, selectOld(cached, options, nowMs));
  return { urls: removed.urls, freedBytes: freedBytes + removed.freedBytes };
}

/** What goes: missing objects, unused ones, and from the back of the list what exceeds `maxBytes`. An object shared by several URLs counts once. */
function selectOld(cached: readonly CachedUrl[], options: PruneOptions, nowMs: number): CachedUrl[] {
  const kept = new Set<string>();
  let keptBytes = 0;
  return cached.filter((each) => {
    if (each.state === "missing" || nowMs - Date.parse(each.lastUsed) > (options.unusedForMs ?? Number.POSITIVE_INFINITY)) return true;
    if (kept.has(each.path)) return false;
    if (keptBytes + each.entry.sizeBytes > (options.maxBytes ?? Number.POSITIVE_INFINITY)) return true;
    kept.add(each.path);
    keptBytes += each.entry.sizeBytes;
    return false;
  });
}

/** An object goes with the last entry that names it. */
async function removeUrls(layout: CacheLayout, cached: readonly CachedUrl[], chosen: readonly CachedUrl[]): Promise<CacheRemoval> {
  const going = new Set(chosen);
  const needed = new Set(cached.filter((each) => !going.has(each)).map((each) => each.path));
  let freedBytes = 0;
  for (const each of chosen) {
    const last = !needed.has(each.path);
    await removeEntry(layout, each.entry, last);
    if (last && each.state !== "missing") freedBytes += each.entry.sizeBytes;
    needed.add(each.path);
  }
  return { urls: chosen.map((each) => each.entry.url), freedBytes };
}

function isSelected(cached: CachedUrl, selector: string): boolean {
  if (selector === cached.path || selector === cached.entry.url) return true;
  if (/^[0-9a-f]{8,64}$/.test(selector)) return cached.entry.sha256.startsWith(selector);
  return /^https?:\/\//i.test(selector) && urlKey(parseHttpUrl(selector).url) === cached.entry.key;
}

async function contentState(cached: CachedUrl, signal: AbortSignal | undefined): Promise<VerifiedUrl["state"]> {
  signal?.throwIfAborted();
  if (cached.state === "missing") return "missing";
  const sha256 = await hashFile(cached.path, cached.entry.sizeBytes, signal).catch(() => {
    signal?.throwIfAborted();
    return "";
  });
  return sha256 === cached.entry.sha256 ? "ok" : "damaged";
}
