/** The download cache as an object: what `rankcast cache` shows and does. */

import { readEnvironment } from "../environment/environment.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { cacheLayout } from "../source/cache-layout.ts";
import type { CachedUrl } from "../source/cache-list.ts";
import type { CacheRemoval, PruneOptions, VerifiedUrl } from "../source/cache-maintenance.ts";

/** One cache directory. */
export interface DownloadCache {
  readonly directory: string;
  /** What is in it, last used first. */
  list(): Promise<CachedUrl[]>;
  /** Hashes every file again; damaged ones are removed when told. */
  verify(options?: {
    readonly remove?: boolean;
    readonly signal?: AbortSignal;
    readonly onVerified?: (result: VerifiedUrl) => void;
  }): Promise<VerifiedUrl[]>;
  /** Removes what a URL, the beginning of a SHA-256, or a path names. @throws {SourceError} RANKCAST_NOT_FOUND when it names nothing. */
  remove(selector: string): Promise<CacheRemoval>;
  /** Removes left-overs, then what is old, then what is too much. */
  prune(options?: PruneOptions): Promise<CacheRemoval>;
}

/** The cache in `cacheDir`, or where the environment puts it (`RANKCAST_HOME` first). */
export function openDownloadCache(cacheDir?: string): DownloadCache {
  if (cacheDir !== undefined) requireArgument("cacheDir", cacheDir, TEXT);
  const layout = cacheLayout(readEnvironment(), cacheDir);
  // Upkeep brings the download code with it, which a process that only looks at checkpoints does not need.
  const upkeep = () => import("../source/cache-maintenance.ts");
  return {
    directory: layout.root,
    list: async () => (await import("../source/cache-list.ts")).listCache(layout),
    verify: async (options) => (await upkeep()).verifyCache(layout, options),
    remove: async (selector) => (await upkeep()).removeFromCache(layout, selector),
    prune: async (options) => (await upkeep()).pruneCache(layout, options),
  };
}
