/**
 * Hugging Face's cache, as its Python library lays it out and reads it:
 *
 *   models--org--name/blobs/<etag>                 content
 *   models--org--name/refs/<revision>              text: the commit
 *   models--org--name/snapshots/<commit>/<path>    relative link to the blob
 *   .locks/                                        skipped by every scanner; our lock lives there
 */
import { copyFile, readFile, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { Environment } from "../environment/environment.ts";
import { makePrivateDirectory, syncDirectory, writeError, writeWhole } from "../source/durable-file.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { uniqueTag } from "../source/process-identity.ts";
import { huggingFaceHome } from "./hugging-face-api.ts";
import type { HubLocation } from "./hugging-face-location.ts";

/** Places of one repository. */
export interface HubCache {
  readonly lockRoot: string;
  readonly blobs: string;
  readonly refs: string;
  readonly snapshots: string;
}

/** Places of a repository: in `<cacheDir>/hub` when a cache directory is given, else in `HF_HUB_CACHE` or `$HF_HOME/hub`. */
export function hubCache(environment: Environment, cacheDir: string | undefined, location: HubLocation): HubCache {
  const hub =
    cacheDir === undefined
      ? resolveLocalPath(environment.huggingFace.hubCache ?? join(huggingFaceHome(environment), "hub"), environment.home)
      : join(resolveLocalPath(cacheDir, environment.home), "hub");
  const repo = join(hub, `${location.kind}--${location.repo.replaceAll("/", "--")}`);
  return {
    lockRoot: join(hub, ".locks", "rankcast"),
    blobs: join(repo, "blobs"),
    refs: join(repo, "refs"),
    snapshots: join(repo, "snapshots"),
  };
}

/** The commit a revision stood for the last time somebody asked; null when nobody did. */
export async function cachedCommit(cache: HubCache, revision: string): Promise<string | null> {
  if (/^[0-9a-f]{40}$/.test(revision)) return revision;
  const text = (await readFile(join(cache.refs, revision), "utf8").catch(() => "")).trim();
  return /^[0-9a-f]{40}$/.test(text) ? text : null;
}

/** What a snapshot has under a path. */
export async function snapshotEntry(
  cache: HubCache,
  commit: string,
  path: string,
): Promise<{ readonly path: string; readonly kind: "file" | "directory" } | null> {
  const full = join(cache.snapshots, commit, path);
  const found = await stat(full).catch(() => null);
  if (found?.isFile()) return { path: full, kind: "file" };
  return found?.isDirectory() ? { path: full, kind: "directory" } : null;
}

/** Notes which commit a revision is. @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL. */
export async function storeRef(cache: HubCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await cachedCommit(cache, revision)) === commit) return;
  const path = join(cache.refs, revision);
  await makePrivateDirectory(dirname(path));
  await writeWhole(path, commit, { durable: false });
}

/**
 * Makes a snapshot's path point to a blob: by a relative link, or by a copy where links are not possible.
 * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
 */
export async function linkSnapshot(cache: HubCache, commit: string, path: string, etag: string): Promise<string> {
  const link = join(cache.snapshots, commit, path);
  const target = relative(dirname(link), join(cache.blobs, etag));
  if ((await readlink(link).catch(() => "")) === target) return link;
  await makePrivateDirectory(dirname(link));
  const temporary = `${link}.${uniqueTag()}.tmp`;
  try {
    await symlink(target, temporary).catch(() => copyFile(join(cache.blobs, etag), temporary));
    await rename(temporary, link);
    await syncDirectory(dirname(link));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(link, error);
  }
  return link;
}
