/** `http://` and `https://`. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { openRemote } from "./open-remote.ts";
import { type ResolveOptions, settleOptions } from "./resolve-context.ts";

/**
 * Opens a URL: from the cache, downloaded into it, or read by ranges.
 * @throws {SourceError} as `fetchToCache`; {UsageError} RANKCAST_USAGE for a malformed URL.
 */
export function loadFromHttp(url: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  return openRemote(url, settleOptions(options));
}
