/** Moves a finished download to its final name: the one step after which others see it. */
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { type CacheEntry, objectPath, writeEntry } from "./cache-entry.ts";
import type { CacheLayout } from "./cache-layout.ts";
import { makePrivateDirectory, syncDirectory, writeError } from "./durable-file.ts";
import { markOf } from "./file-mark.ts";
import type { PartialFile } from "./partial-file.ts";

/**
 * Renames a finished (synced, verified, read-only) file to `objects/<sha256>/<name>`, makes the name durable, then writes the URL's entry. An object
 * with the same content is replaced by the new file: the one just verified is the better one, and whoever has the old one open or mapped keeps it.
 * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
 */
export async function storeObject(layout: CacheLayout, partial: PartialFile, described: Omit<CacheEntry, "verified">): Promise<CacheEntry> {
  const directory = join(layout.objects, described.sha256);
  await makePrivateDirectory(directory);
  await makePrivateDirectory(layout.urls);
  const present = (await readdir(directory).catch(() => []))[0];
  const named = { ...described, name: present ?? described.name };
  const path = objectPath(layout, named);
  try {
    await rename(partial.path, path);
  } catch (error) {
    throw writeError(path, error);
  }
  // Only the state is left under the old name. It goes before the entry appears: whoever finds the entry cleans nothing up.
  await partial.discard();
  await syncDirectory(directory);
  await syncDirectory(layout.objects);
  const verified = await markOf(path);
  if (verified === null) throw writeError(path, Object.assign(new Error("the object is gone"), { code: "ENOENT" }));
  const entry = { ...named, verified };
  await writeEntry(layout, entry);
  return entry;
}
