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
  const peakRssBytes = process.resourceUsage().maxRSS * 1024;
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"));
    return { pssBytes: match ? Number(match[1]) * 1024 : null, peakRssBytes };
  } catch {
    return { pssBytes: null, peakRssBytes };
  }
}
