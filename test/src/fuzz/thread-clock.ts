/** Time this thread has had on a core: what an input costs on a machine where others work. Opened before the doors to files are closed. */
import { openSync, readSync } from "node:fs";

/** Milliseconds; wall time where the system does not tell. */
export type ThreadClock = () => number;

/** The clock of the thread that calls. */
export function openThreadClock(): ThreadClock {
  try {
    const read = readSync;
    const file = openSync("/proc/thread-self/schedstat", "r");
    const bytes = Buffer.alloc(64);
    return () => Number(bytes.toString("latin1", 0, read(file, bytes, 0, bytes.length, 0)).split(" ")[0]) / 1e6;
  } catch {
    return () => performance.now();
  }
}
