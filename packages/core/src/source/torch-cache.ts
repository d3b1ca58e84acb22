/** Files that torch.hub downloaded before us. */
import { join } from "node:path";
import type { CacheLayout } from "./cache-layout.ts";
import { type ExpectedDigest, meets } from "./expected-digest.ts";
import { markOf } from "./file-mark.ts";
import { rememberedSha256 } from "./verification-memory.ts";

/**
 * The file torch.hub would use for this URL, when its content is proved by a digest. torch names it after the last path segment alone, so two URLs share
 * one file there: without a digest it is not believed. Read-only: nothing is changed or removed there.
 */
export async function findInTorchCache(
  layout: CacheLayout,
  directory: string,
  url: URL,
  expected: ExpectedDigest,
  signal?: AbortSignal,
): Promise<{ readonly path: string; readonly sha256: string; readonly sizeBytes: number } | null> {
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  if (name === "" || name === "." || name === "..") return null;
  const path = join(directory, name);
  const mark = await markOf(path);
  if (mark === null) return null;
  const sha256 = await rememberedSha256(layout, path, signal).catch(() => {
    signal?.throwIfAborted();
    return null;
  });
  return sha256 !== null && meets(expected, sha256) ? { path, sha256, sizeBytes: mark.sizeBytes } : null;
}
