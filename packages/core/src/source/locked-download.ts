/** One download by one process while the others wait, into a partial file that only becomes something when it is verified. */
import { SourceError } from "../errors/checkpoint-error.ts";
import type { CacheLock } from "./cache-lock.ts";
import { makePrivateDirectory } from "./durable-file.ts";
import { digestMismatch } from "./expected-digest.ts";
import type { FetchContext } from "./fetch-options.ts";
import type { HashAlgorithm } from "./hash-algorithms.ts";
import { type DownloadOutcome, download } from "./http-download.ts";
import type { HttpTarget } from "./http-url.ts";
import { PartialFile } from "./partial-file.ts";
import { claimPartial, sweepPartials } from "./partial-store.ts";
import type { PartialWatcher } from "./partial-watcher.ts";

/** What is downloaded, where to, and what becomes of it. */
export interface DownloadJob<T> {
  /** 64 hex digits that stand for the file: all who want it agree on them. */
  readonly key: string;
  /** Directory of the lock; created for us alone when absent. */
  readonly lockRoot: string;
  /** On the same file system as the final place. */
  readonly partialDirectory: string;
  /** A digest will be compared, so a body whose end can not be proved is acceptable. */
  readonly digestKnown: boolean;
  /** Reads the bytes while they arrive. Default: the fetch options' one. */
  readonly watcher?: PartialWatcher | undefined;
  /** Digests to compute beside SHA-256. */
  readonly algorithms?: readonly HashAlgorithm[];
  /** The file, when somebody has made it since it was last looked for. Asked under the lock, waited for or not: its holder may just have gone. */
  present(): Promise<T | null>;
  /** Verifies and renames the complete file. */
  store(partial: PartialFile, outcome: DownloadOutcome, digests: ReadonlyMap<string, string>): Promise<T>;
  /** Cleans up after the dead. */
  sweep?(): Promise<void>;
}

/**
 * Runs the job under its lock. Digests that the server announced are compared here, all others by `store`.
 * @throws {SourceError} as `download`; RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL, RANKCAST_HASH_MISMATCH; what `store` throws; the reason of an aborted signal.
 */
export async function lockedDownload<T>(context: FetchContext, target: HttpTarget, job: DownloadJob<T>): Promise<T> {
  await makePrivateDirectory(job.lockRoot);
  const lock = await context.lock({
    root: job.lockRoot,
    key: job.key,
    idleMs: context.limits.idleMs,
    signal: context.options.signal,
    onWait: (progress) => context.options.onProgress?.({ type: "waiting", name: target.name, ...progress }),
  });
  try {
    const made = (await job.present()) ?? (await downloadFresh(context, target, job, lock));
    await lock.release();
    return made;
  } catch (error) {
    await lock.release(error);
    throw error;
  }
}

async function downloadFresh<T>(context: FetchContext, target: HttpTarget, job: DownloadJob<T>, lock: CacheLock): Promise<T> {
  await makePrivateDirectory(job.partialDirectory);
  await sweepPartials(job.partialDirectory);
  await job.sweep?.();
  const partial = await claimPartial(job.partialDirectory, job.key);
  try {
    return await downloadInto(partial, context, target, job, lock);
  } catch (error) {
    // Bytes of an earlier process may be at fault: once more, without them.
    const suspect = partial.resumedBytes > 0 && error instanceof SourceError && error.code === "RANKCAST_HASH_MISMATCH";
    if (!suspect) throw error;
    return downloadInto(await PartialFile.create(job.partialDirectory, job.key), context, target, job, lock);
  }
}

async function downloadInto<T>(
  partial: PartialFile,
  context: FetchContext,
  target: HttpTarget,
  job: DownloadJob<T>,
  lock: CacheLock,
): Promise<T> {
  for (const each of job.algorithms ?? []) partial.want(each);
  partial.watcher = job.watcher ?? context.options.watcher;
  try {
    const outcome = await download({
      session: context.session,
      target,
      partial,
      digestKnown: job.digestKnown,
      listener: (event) => {
        if (event.type === "progress") lock.tell({ bytesDone: event.bytesDone, bytesTotal: event.bytesTotal });
        context.options.onProgress?.(event);
      },
    });
    const digests = await partial.finish(outcome.sizeBytes);
    for (const each of outcome.announced) {
      const actual = digests.get(each.algorithm);
      if (actual !== undefined && actual !== each.hex) throw digestMismatch(target.name, each.hex, actual, each.algorithm);
    }
    return await job.store(partial, outcome, digests);
  } catch (error) {
    await (mayResume(error) ? partial.release() : partial.discard());
    throw error;
  }
}

/** After trouble of the network, or when the caller gave up, the bytes are good and wait for the next try; after a refusal they are not. */
function mayResume(error: unknown): boolean {
  if (!(error instanceof SourceError)) return true;
  return error.class === "network" || (error.code === "RANKCAST_HTTP_STATUS" && Number(error.details["status"]) >= 429);
}
