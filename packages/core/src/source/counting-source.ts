/** Counts what is read, so that "exactly once" (L3) is a number in the report and not a belief. */
import type { ByteSource } from "./byte-source.ts";

/** What was asked of an origin. Plain data; counters only grow. */
export interface ReadStats {
  /** Requests or read calls sent to the origin, retries included. */
  requests: number;
  /** Bytes the caller needed. */
  bytesNeeded: number;
  /** Bytes that arrived, over-read and repeated bytes included. */
  bytesRead: number;
  /** Requests sent again because one failed. */
  retries: number;
  /** Files served from the cache without asking for their bytes. */
  cacheHits: number;
}

/** Counters at zero. */
export function newReadStats(): ReadStats {
  return { requests: 0, bytesNeeded: 0, bytesRead: 0, retries: 0, cacheHits: 0 };
}

/** Adds `more` to `stats` in place and returns it. */
export function addReadStats(stats: ReadStats, more: Readonly<ReadStats>): ReadStats {
  stats.requests += more.requests;
  stats.bytesNeeded += more.bytesNeeded;
  stats.bytesRead += more.bytesRead;
  stats.retries += more.retries;
  stats.cacheHits += more.cacheHits;
  return stats;
}

/** `source` with each successful read added to `stats`. Not for HTTP sources, which count their own requests. */
export function countingSource(source: ByteSource, stats: ReadStats): ByteSource {
  return {
    name: source.name,
    sizeBytes: source.sizeBytes,
    version: source.version,
    ...(source.file ? { file: source.file } : {}),
    async readInto(target, offset, signal) {
      stats.requests += 1;
      await source.readInto(target, offset, signal);
      stats.bytesNeeded += target.length;
      stats.bytesRead += target.length;
    },
    close: () => source.close(),
  };
}
