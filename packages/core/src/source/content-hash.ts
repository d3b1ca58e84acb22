/** Digests of whole files, computed in a thread of their own. */
import { startFileJob } from "./file-job.ts";

/** SHA-256 of a whole file, lower-case hex. @throws {SourceError} RANKCAST_FILE_UNREADABLE. */
export async function hashFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const job = startFileJob(path);
  const cancel = (): void => job.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return (await job.finish(sizeBytes)).get("sha256") ?? "";
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
