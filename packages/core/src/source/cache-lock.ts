/**
 * One download per URL at a time, over all processes and threads that share a cache.
 *
 * The lock saves bandwidth and nothing else: every downloader writes a file of its own and renames it when it is verified, so a lock that fails, is
 * lost or is ignored costs a second download, never a wrong file.
 */
import { SourceError } from "../errors/checkpoint-error.ts";
import { type ErrorRecord, fromErrorRecord } from "../errors/error-record.ts";

/** How far the holder is. */
export interface HolderProgress {
  readonly bytesDone: number | null;
  readonly bytesTotal: number | null;
}

/** What is needed to get or wait for a lock. */
export interface LockRequest {
  /** A directory that all who share the lock share; holds what the lock needs. */
  readonly root: string;
  readonly key: string;
  /** A holder that gives no sign of life for this long is waited for no longer. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called while waiting. */
  readonly onWait?: (progress: HolderProgress) => void;
}

/** A held lock. */
export interface CacheLock {
  /** Whether another holder was waited for. */
  readonly waited: boolean;
  /** Tells those who wait. */
  tell(progress: HolderProgress): void;
  /** Lets the next one in; with an error, those who wait now learn of it. Safe to call twice. */
  release(failure?: unknown): Promise<void>;
}

/** Used instead of a lock when a holder is stuck. */
export function unlocked(): CacheLock {
  return { waited: true, tell: () => undefined, release: async () => undefined };
}

const ADOPTABLE = new Set(["network", "http", "integrity"]);

/**
 * The holder's failure as an error of the waiter, when it is one: the server is silent or broken, and everybody asking again in turn would only
 * multiply the wait. Failures that depend on who asks (credentials, disk, cancellation) are not taken over.
 */
export function adoptable(record: ErrorRecord): SourceError | null {
  const error = fromErrorRecord(record);
  return error instanceof SourceError && ADOPTABLE.has(error.class) ? error : null;
}
