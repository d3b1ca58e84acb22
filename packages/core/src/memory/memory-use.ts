/** Memory of this process as the kernel counts it, and how it grows. */
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

/** Resident sizes by kind; the kernel keeps these as counters. */
interface ResidentUse {
  readonly anonymousBytes: number;
  /** Pages of files and of shared memory, which other processes may map as well. */
  readonly sharedBytes: number;
}

/** Above this, pages of files came or went since the last reading: their share has to be read. */
const SHARED_CHANGE_BYTES_MAX = 4 * 2 ** 20;

/**
 * How much memory something took. Before it, a sum of counters is enough (microseconds): what is allocated between two readings is
 * anonymous, except where files were mapped. After it, the kernel has to look at every page (milliseconds): nobody should be waiting then.
 */
export class MemoryMeter {
  #last: { readonly pssBytes: number; readonly resident: ResidentUse } | null = null;

  constructor() {
    this.after();
  }

  /** Proportional set size now, from what it was at the last reading wherever that says it; null where the kernel does not tell. */
  before(): MemoryUse {
    const last = this.#last;
    const resident = readResidentUse();
    if (!last || !resident || Math.abs(resident.sharedBytes - last.resident.sharedBytes) > SHARED_CHANGE_BYTES_MAX) return this.after();
    return { pssBytes: last.pssBytes + resident.anonymousBytes - last.resident.anonymousBytes, peakRssBytes: resident.peakRssBytes };
  }

  /** Reads it. */
  after(): MemoryUse {
    const resident = readResidentUse();
    const use = readMemoryUse();
    this.#last = use.pssBytes === null || resident === null ? null : { pssBytes: use.pssBytes, resident };
    return use;
  }
}

function readResidentUse(): (ResidentUse & { readonly peakRssBytes: number }) | null {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
    const [anonymousBytes, sharedBytes, peakRssBytes] = [field("RssAnon"), field("RssFile") + field("RssShmem"), field("VmHWM")];
    // A kernel before 4.5 has no such fields.
    return Number.isNaN(anonymousBytes + sharedBytes + peakRssBytes) ? null : { anonymousBytes, sharedBytes, peakRssBytes };
  } catch {
    return null;
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

/** A reading costs a tenth of what a small update takes on a rank, and updates come a hundred times a second. */
const RECENT_MS = 100;
let recent: { readonly atMs: number; readonly bytes: number } | null = null;

/** As `readPeakRssBytes`, of at most a tenth of a second ago: for whoever asks many times a second. */
export function recentPeakRssBytes(): number {
  const nowMs = performance.now();
  if (recent === null || nowMs - recent.atMs > RECENT_MS) recent = { atMs: nowMs, bytes: readPeakRssBytes() };
  return recent.bytes;
}
