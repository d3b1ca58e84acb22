/**
 * A file appears whole or not at all. Writing in place would let a reader map a half-written checkpoint, and truncating a file that another
 * process has mapped kills that process (SIGBUS), so the bytes go to a temporary file beside it that is renamed over the name at the end.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FileSink } from "./file-sink.ts";
import { saveError } from "./save-error.ts";

/** Length of a file name that every file system takes; the temporary name keeps only as much of the original. */
const NAME_CHARACTERS_KEPT = 60;

/**
 * Runs `produce` on a fresh temporary file in the directory of `path`, then makes it durable and renames it to `path`. An existing file keeps
 * its permission bits; a symbolic link is replaced, not followed (links of download caches point at files that must not change). When anything
 * fails the temporary file is removed and `path` is as it was.
 * @throws {SourceError} RANKCAST_SAVE_DISK_FULL, RANKCAST_SAVE_REFUSED; what `produce` throws; the signal's reason.
 */
export async function writeAtomically<T>(
  path: string,
  produce: (sink: FileSink) => Promise<T>,
  options: { readonly signal?: AbortSignal } = {},
): Promise<T> {
  options.signal?.throwIfAborted();
  const directory = dirname(path);
  const temporary = join(
    directory,
    `.${basename(path).slice(0, NAME_CHARACTERS_KEPT)}.${process.pid}.${randomBytes(6).toString("hex")}.tmp`,
  );
  let created = false;
  try {
    const present = await stat(path).catch(() => undefined);
    const file = await open(temporary, "wx", 0o666);
    created = true;
    const result = await fill(file, produce, options.signal, present && present.mode & 0o777);
    options.signal?.throwIfAborted();
    await rename(temporary, path);
    created = false;
    await syncDirectory(directory);
    return result;
  } catch (error) {
    throw saveError(path, error);
  } finally {
    if (created) await unlink(temporary).catch(() => undefined);
  }
}

async function fill<T>(
  file: FileHandle,
  produce: (sink: FileSink) => Promise<T>,
  signal: AbortSignal | undefined,
  mode: number | undefined,
): Promise<T> {
  try {
    if (mode !== undefined) await file.chmod(mode);
    const sink = new FileSink(file, signal);
    const result = await produce(sink);
    await sink.flush();
    // Without this a crash after the rename may leave the new name on an empty file.
    await file.sync();
    return result;
  } finally {
    await file.close();
  }
}

/** Makes the rename durable. Some file systems refuse to sync a directory; the file itself is safe by then. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
