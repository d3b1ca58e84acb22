/** A file into the page cache: what is measured is loading, never the disk. */
import { closeSync, openSync, readSync } from "node:fs";

const PART_BYTES = 2 ** 22;

/** Reads the whole file once and forgets it; the kernel keeps it while nothing else needs the memory. */
export function warmFile(path: string): void {
  const part = Buffer.allocUnsafeSlow(PART_BYTES);
  const fd = openSync(path, "r");
  try {
    while (readSync(fd, part, 0, PART_BYTES, null) > 0);
  } finally {
    closeSync(fd);
  }
}
