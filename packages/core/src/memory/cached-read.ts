/** Reads of what lies in the page cache: done at once, by the thread that wants them. */
import type { Koffi, Library } from "./koffi.ts";

/** `preadv2(2)`: fail instead of waiting for a disk, or for a lock. */
const RWF_NOWAIT = 8;

/**
 * Reads into `target` from `offset` of a file, as much as is in memory, and gives how much that was: 0 where nothing is, where the file system cannot
 * tell, and on any error, which the read that follows meets again. Never waits.
 */
export type ReadCached = (fd: number, target: Uint8Array, offset: number) => number;

/** Binds the call; one that reads nothing where there is none (not Linux, a C library before `preadv2`). */
export function bindCachedRead(koffi: Koffi, libc: Library): ReadCached {
  if (process.platform !== "linux") return readNothing;
  try {
    const preadv2 = libc.func("int64_t preadv2(int fd, const void *vectors, int count, int64_t offset, int flags)");
    // One `struct iovec`: address and length.
    const vector = new BigUint64Array(2);
    return (fd, target, offset) => {
      vector[0] = koffi.address(target);
      vector[1] = BigInt(target.byteLength);
      return Math.max(0, Number(preadv2(fd, vector, 1, offset, RWF_NOWAIT)));
    };
  } catch {
    return readNothing;
  }
}

function readNothing(): number {
  return 0;
}
