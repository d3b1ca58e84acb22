/**
 * Where the cache is and how it is laid out:
 *
 *   objects/<sha256>/<name>   files: complete, verified, read-only, never written again
 *   urls/<key>.json           one entry per URL: which object it is
 *   partial/<key>.*.part      downloads under way or interrupted; never served
 *   verified/<key>.json       files of other caches that were hashed once
 *   locks/                    who downloads what, where the kernel can not tell
 */
import { join } from "node:path";
import type { Environment } from "../environment/environment.ts";
import { resolveLocalPath } from "./local-path.ts";

/** Absolute or working-directory-relative paths of one cache. */
export interface CacheLayout {
  readonly root: string;
  readonly objects: string;
  readonly urls: string;
  readonly partial: string;
  readonly verified: string;
}

/**
 * The cache of an option or the environment: the option, `$RANKCAST_HOME`, `$TORCH_HOME/rankcast`, `$XDG_CACHE_HOME/rankcast`,
 * `~/.cache/rankcast`; torch's own precedence with ours in front.
 */
export function cacheLayout(environment: Environment, cacheDir?: string): CacheLayout {
  const root = resolveLocalPath(cacheDir ?? environment.rankcastHome ?? defaultRoot(environment), environment.home);
  return {
    root,
    objects: join(root, "objects"),
    urls: join(root, "urls"),
    partial: join(root, "partial"),
    verified: join(root, "verified"),
  };
}

/** Where torch.hub keeps checkpoints: `$TORCH_HOME/hub`, `$XDG_CACHE_HOME/torch/hub` or `~/.cache/torch/hub`, then `checkpoints` (torch/hub.py `get_dir`). */
export function torchHubDirectory(environment: Environment): string {
  const torchHome = environment.torchHome ?? join(environment.xdgCacheHome ?? join(environment.home, ".cache"), "torch");
  return join(resolveLocalPath(torchHome, environment.home), "hub", "checkpoints");
}

function defaultRoot(environment: Environment): string {
  return join(environment.torchHome ?? environment.xdgCacheHome ?? join(environment.home, ".cache"), "rankcast");
}
