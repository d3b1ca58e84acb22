/** What is in the cache. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type CacheEntry, entryPath, objectPath, readEntry } from "./cache-entry.ts";
import type { CacheLayout } from "./cache-layout.ts";
import { isSameMark, markOf } from "./file-mark.ts";

/** One cached URL. */
export interface CachedUrl {
  readonly entry: CacheEntry;
  readonly path: string;
  /** ISO 8601. */
  readonly lastUsed: string;
  /** `present`: as it was verified. `touched`: there, but hashed again before its next use. `missing`: downloaded again. */
  readonly state: "present" | "touched" | "missing";
}

/** All entries, last used first. An absent cache is an empty one. */
export async function listCache(layout: CacheLayout): Promise<CachedUrl[]> {
  const names = await readdir(layout.urls).catch(() => []);
  const found = await Promise.all(
    names.filter((name) => /^[0-9a-f]{64}\.json$/.test(name)).map((name) => describe(layout, name.slice(0, 64))),
  );
  return found.filter((each) => each !== null).sort((one, other) => other.lastUsed.localeCompare(one.lastUsed));
}

/** Objects that no entry names, with the time of their directory's last change. */
export async function listOrphans(
  layout: CacheLayout,
  entries: readonly CachedUrl[],
): Promise<{ readonly path: string; readonly changedMs: number; readonly sizeBytes: number }[]> {
  const named = new Set(entries.map((each) => each.entry.sha256));
  const orphans = (await readdir(layout.objects).catch(() => [])).filter((name) => !named.has(name));
  return Promise.all(
    orphans.map(async (name) => {
      const path = join(layout.objects, name);
      const files = await readdir(path).catch(() => []);
      const sizes = await Promise.all(files.map(async (file) => (await markOf(join(path, file)))?.sizeBytes ?? 0));
      return { path, changedMs: (await stat(path)).mtimeMs, sizeBytes: sizes.reduce((sum, each) => sum + each, 0) };
    }),
  );
}

async function describe(layout: CacheLayout, key: string): Promise<CachedUrl | null> {
  const entry = await readEntry(layout, key);
  const used = await stat(entryPath(layout, key)).catch(() => null);
  if (entry === null || used === null) return null;
  const path = objectPath(layout, entry);
  const mark = await markOf(path);
  const state = mark === null ? "missing" : isSameMark(mark, entry.verified) ? "present" : "touched";
  return { entry, path, lastUsed: used.mtime.toISOString(), state };
}
