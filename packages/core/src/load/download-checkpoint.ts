/** Weights into the cache, decoded by nobody. */

import { UsageError } from "../errors/checkpoint-error.ts";
import type { ReadStats } from "../source/counting-source.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";
import { resolveFiles } from "./resolve-files.ts";

/** The JSON of `rankcast download`. */
export interface DownloadReport {
  readonly weights: string;
  /** The local file (for several files, the first one). */
  readonly path: string;
  readonly bytes: number;
  readonly sha256?: string;
  readonly origin: ReadStats;
}

/**
 * Makes sure that the file behind `weights` is here and complete.
 * @throws {SourceError} when the bytes cannot be had; {UsageError} RANKCAST_USAGE when `weights` is no single file.
 */
export async function downloadCheckpoint(weights: string, given: FetchOptions & FetchHooks = {}): Promise<DownloadReport> {
  const options = checkedOptions("downloadCheckpoint", given, FETCH_AND_HOOK_OPTIONS);
  const { source, stats } = await resolveFiles(weights, options);
  try {
    const file = source?.entry?.file;
    if (!source?.entry || !file) {
      throw new UsageError("RANKCAST_USAGE", `${source?.name ?? weights} is no single file that can be downloaded`, {
        details: { weights: source?.name ?? weights },
      });
    }
    const { sha256, sizeBytes } = source.entry.version;
    return { weights: source.name, path: file.path, bytes: sizeBytes, ...(sha256 === undefined ? {} : { sha256 }), origin: stats };
  } finally {
    await source?.close();
  }
}
