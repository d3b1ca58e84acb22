/** Memory of this process, as every way of loading is measured with. */
import { readFileSync } from "node:fs";

/** Proportional set size in bytes: private pages plus this process's share of shared ones; NaN where the kernel does not tell. */
export function pssBytes(): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))?.[1]) * 1024;
  } catch {
    return Number.NaN;
  }
}
