/** The entries of the cache: one JSON file per URL that says which object the URL stood for. */
import { readFile, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { CacheLayout } from "./cache-layout.ts";
import { hashFile } from "./content-hash.ts";
import { writeWhole } from "./durable-file.ts";
import { type FileMark, isFileMark, isSameMark, markOf } from "./file-mark.ts";

/** What is known about one downloaded URL. Holds no secret: the URL is without userinfo and query. */
export interface CacheEntry {
  readonly version: 1;
  /** Digest of the whole normalised URL. */
  readonly key: string;
  readonly url: string;
  /** Where redirects ended. */
  readonly finalUrl: string;
  readonly sizeBytes: number;
  /** Lower-case hex of the content. */
  readonly sha256: string;
  /** Name of the object's file, for people. */
  readonly name: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** ISO 8601. */
  readonly storedAt: string;
  /** The object as it was when its digest was computed. */
  readonly verified: FileMark;
}

/** Path of an entry's object. */
export function objectPath(layout: CacheLayout, entry: Pick<CacheEntry, "sha256" | "name">): string {
  return join(layout.objects, entry.sha256, entry.name);
}

/** The entry of a URL; null when there is none or it is damaged (which is the same: it is downloaded again). */
export async function readEntry(layout: CacheLayout, key: string): Promise<CacheEntry | null> {
  const text = await readFile(entryPath(layout, key), "utf8").catch(() => null);
  if (text === null) return null;
  try {
    const entry = JSON.parse(text) as CacheEntry;
    return isEntry(entry) && entry.key === key ? entry : null;
  } catch {
    return null;
  }
}

/** Writes an entry; readers see the old one, the new one or none. @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL. */
export function writeEntry(layout: CacheLayout, entry: CacheEntry): Promise<void> {
  return writeWhole(entryPath(layout, entry.key), JSON.stringify(entry, null, 1), { durable: true });
}

/** Removes an entry and, when told, its object. */
export async function removeEntry(layout: CacheLayout, entry: CacheEntry, withObject: boolean): Promise<void> {
  await rm(entryPath(layout, entry.key), { force: true });
  if (withObject) await rm(join(layout.objects, entry.sha256), { recursive: true, force: true });
}

/** Notes that an entry was used, for `prune`. A cache that can not be written is no obstacle. */
export async function touchEntry(layout: CacheLayout, key: string): Promise<void> {
  const now = new Date();
  await utimes(entryPath(layout, key), now, now).catch(() => undefined);
}

/**
 * Whether the entry's object is there and is what the entry says. Size, time and inode are compared always; when they differ (a copied cache) the
 * content is hashed once more. A wrong object is removed with its entry.
 */
export async function isIntact(layout: CacheLayout, entry: CacheEntry, signal?: AbortSignal): Promise<boolean> {
  const path = objectPath(layout, entry);
  const mark = await markOf(path);
  if (mark === null) return false;
  if (isSameMark(mark, entry.verified)) return true;
  const right = mark.sizeBytes === entry.sizeBytes && (await hashFile(path, mark.sizeBytes, signal)) === entry.sha256;
  if (!right) await removeEntry(layout, entry, true).catch(() => undefined);
  else await writeEntry(layout, { ...entry, verified: mark }).catch(() => undefined);
  return right;
}

/** Where the entry of a key is. */
export function entryPath(layout: CacheLayout, key: string): string {
  return join(layout.urls, `${key}.json`);
}

function isEntry(entry: CacheEntry): boolean {
  return (
    entry.version === 1 &&
    /^[0-9a-f]{64}$/.test(entry.sha256) &&
    /^[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,99}$/.test(entry.name) &&
    Number.isSafeInteger(entry.sizeBytes) &&
    typeof entry.url === "string" &&
    isFileMark(entry.verified)
  );
}
