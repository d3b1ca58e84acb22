/** The lock of this platform. */
import type { CacheLock, LockRequest } from "./cache-lock.ts";
import { acquireLockFile } from "./cache-lock-file.ts";
import { acquireLockSocket } from "./cache-lock-socket.ts";

/** A way to get a lock. */
export type AcquireLock = (request: LockRequest) => Promise<CacheLock>;

/**
 * On Linux an abstract unix socket, which the kernel releases with the process that listens on it, else a file with the holder's identity.
 * @throws {SourceError} RANKCAST_CACHE_WRITE; the holder's own failure when it says something about the server; the reason of an aborted signal.
 */
export const acquireLock: AcquireLock = (request) => (process.platform === "linux" ? acquireLockSocket(request) : acquireLockFile(request));
