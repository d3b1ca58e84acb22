/** Memory of this process as the kernel counts it. */
import { readFileSync } from "node:fs";

/** Bytes; null where the kernel does not tell (not Linux). */
export interface MemoryUse {
  /** Proportional set size: private pages plus this process's share of shared ones. */
  readonly pssBytes: number | null;
  /** Largest resident size so far. */
  readonly peakRssBytes: number;
}

/** Reads `/proc/self/smaps_rollup`. Takes milliseconds when gigabytes are mapped: not for hot paths. */
export function readMemoryUse(): MemoryUse {
  const peakRssBytes = readPeakRssBytes();
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"));
    return { pssBytes: match ? Number(match[1]) * 1024 : null, peakRssBytes };
  } catch {
    return { pssBytes: null, peakRssBytes };
  }
}

/**
 * Largest resident size of this process so far. Not `ru_maxrss` where the kernel says better: a process inherits that from whoever started it,
 * so that a rank of a large launcher would seem to be large.
 */
export function readPeakRssBytes(): number {
  try {
    const match = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (match) return Number(match[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
