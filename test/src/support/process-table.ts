/** What the kernel says about processes: who carries a mark, and how much memory they hold. Linux only. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Pids of living processes whose environment holds `NAME=value`. A process inherits its parent's marks, so grandchildren count. */
export function processesMarked(name: string, value: string): number[] {
  const mark = `${name}=${value}`;
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(mark);
      } catch {
        return false; // It ended while we looked, or belongs to somebody else.
      }
    })
    .map(Number);
}

/** Pids of other living processes that work in a folder, or have something below it open. */
export function processesBelow(directory: string): number[] {
  const isBelow = (link: string): boolean => {
    try {
      const target = readlinkSync(link);
      return target === directory || target.startsWith(`${directory}/`);
    } catch {
      return false; // Closed, ended, or somebody else's.
    }
  };
  const linksOf = (pid: string): string[] => {
    try {
      return [`/proc/${pid}/cwd`, ...readdirSync(`/proc/${pid}/fd`).map((descriptor) => `/proc/${pid}/fd/${descriptor}`)];
    } catch {
      return [];
    }
  };
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .filter((pid) => linksOf(pid).some(isBelow))
    .map(Number);
}

/** Whether a process has ended; its parent may not have heard of it yet. */
export function hasEnded(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

/** What a process was started as, for messages. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "ended";
  }
}

/** Memory of a process in bytes, from `/proc/<pid>/smaps_rollup`. */
export interface MemoryRollup {
  readonly rssBytes: number;
  /** Private pages plus the share of shared ones. */
  readonly pssBytes: number;
  /** Pages written by this process only. */
  readonly privateDirtyBytes: number;
}

/**
 * The kernel's own sums.
 * @throws {Error} ENOENT or ESRCH when the process is gone.
 */
export function memoryRollup(pid: number): MemoryRollup {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
  return { rssBytes: field("Rss"), pssBytes: field("Pss"), privateDirtyBytes: field("Private_Dirty") };
}
