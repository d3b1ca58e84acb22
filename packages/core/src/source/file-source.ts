/** A local file as a `ByteSource`: positional reads straight into the caller's memory. */
import { constants, type Stats } from "node:fs";
import { type FileHandle, open, readlink, stat } from "node:fs/promises";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { openedNativeMemory } from "../memory/native-memory.ts";
import type { ByteSource, SourceVersion } from "./byte-source.ts";
import { irregular } from "./irregular-file.ts";
import { resolveLocalPath } from "./local-path.ts";

/**
 * One system call asks for at most this. Linux caps a read at 2^31 - 4096 bytes anyway, and a smaller piece lets a cancelled load stop soon and
 * other reads share libuv's four threads.
 */
const READ_BYTES_MAX = 64 * 2 ** 20;

/** Headers and directories are read in pieces of at most this, one after the other; copying as much takes some ten microseconds. */
const CACHED_BYTES_MAX = 64 * 1024;

/** How to open a file. */
export interface OpenFileOptions {
  /** The caller's word that nobody rewrites or truncates the file in place while it is used; it may then be mapped and is not checked again. */
  readonly immutable?: boolean;
}

/**
 * Opens a regular file. `~` and `file://` are resolved. Reads go to the file that was open at the start even when its name is given to
 * another file meanwhile; a write into it is noticed by its size or modification time.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_FILE_KIND when it is not a regular file, RANKCAST_FILE_UNREADABLE when the system refuses.
 */
export async function openFile(path: string, options: OpenFileOptions = {}): Promise<ByteSource> {
  const local = resolveLocalPath(path);
  // Asked before opening: opening a device or FIFO can block or have effects.
  const found = await stat(local).catch((error: unknown) => refuse(local, error));
  if (!found.isFile()) throw irregular(local, found);
  const handle = await open(local, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => refuse(local, error));
  try {
    const opened = await handle.stat();
    if (!opened.isFile()) throw irregular(local, opened);
    return new FileSource(local, handle, versionOf(opened), options.immutable === true);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

class FileSource implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  readonly version: SourceVersion;
  readonly file: { readonly path: string; readonly immutable: boolean };
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle, version: SourceVersion, immutable: boolean) {
    this.name = path;
    this.sizeBytes = version.sizeBytes;
    this.version = version;
    this.file = { path, immutable };
    this.#handle = handle;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const isSmall = target.length <= CACHED_BYTES_MAX;
    let done = isSmall ? (openedNativeMemory()?.readCached(this.#handle.fd, target, offset) ?? 0) : 0;
    while (done < target.length) {
      signal?.throwIfAborted();
      const length = Math.min(READ_BYTES_MAX, target.length - done);
      const { bytesRead } = await this.#handle
        .read(target, done, length, offset + done)
        .catch((error: unknown) => unreadable(this.name, error));
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    // Change is looked for first: a file cut while it was read is "changed", one that never had the bytes is "truncated".
    if (!this.file.immutable || done < target.length) await this.#refuseChange();
    if (done < target.length) throw truncated(this.name, offset, target.length, done, this.sizeBytes);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #refuseChange(): Promise<void> {
    const now = versionOf(await this.#handle.stat());
    if (now.sizeBytes === this.version.sizeBytes && now.mtimeMs === this.version.mtimeMs) return;
    throw new SourceError(
      "RANKCAST_SOURCE_CHANGED",
      `${printable(this.name)}: changed while it was read: expected ${this.sizeBytes} bytes modified at ${this.version.mtimeMs} ms, found ${now.sizeBytes} bytes modified at ${now.mtimeMs} ms`,
      { details: { file: this.name, expected: { ...this.version }, found: { ...now } } },
    );
  }
}

/** The error of a source that ends before the bytes asked for. */
export function truncated(name: string, offset: number, length: number, found: number, sizeBytes: number): SourceError {
  return new SourceError(
    "RANKCAST_SOURCE_TRUNCATED",
    `${printable(name)}: expected ${length} bytes at offset ${offset}, found ${found}: the file has ${sizeBytes} bytes`,
    { details: { file: name, offset, expected: length, found, sizeBytes } },
  );
}

/** The error of a path that leads to nothing, in the words of vis4d's and mmengine's `load_from_local`. */
export function notFound(path: string, cause?: unknown): SourceError {
  return new SourceError("RANKCAST_NOT_FOUND", `${printable(path)} can not be found.`, { details: { file: path }, cause });
}

function versionOf(stats: Stats): SourceVersion {
  return { sizeBytes: stats.size, mtimeMs: stats.mtimeMs, inode: stats.ino };
}

const ABSENT = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

async function refuse(path: string, error: unknown): Promise<never> {
  if (!ABSENT.has(String((error as NodeJS.ErrnoException).code))) return unreadable(path, error);
  const target = await readlink(path).catch(() => null);
  throw target === null ? notFound(path, error) : danglingLink(path, target, error);
}

/** A cache that was copied without what its links lead to looks complete to whoever lists it. */
function danglingLink(path: string, target: string, cause: unknown): SourceError {
  return new SourceError(
    "RANKCAST_NOT_FOUND",
    `${printable(path)} can not be found: it is a symbolic link to ${quote(target)}, where nothing is`,
    {
      details: { file: path, link: target },
      remedy: "Copy the file itself (cp -L, rsync -L), or repair the link.",
      cause,
    },
  );
}

/** Rethrows a system error as RANKCAST_FILE_UNREADABLE. @throws {SourceError} RANKCAST_FILE_UNREADABLE always. */
export function unreadable(path: string, error: unknown): never {
  const code = String((error as NodeJS.ErrnoException).code ?? "unknown error");
  throw new SourceError("RANKCAST_FILE_UNREADABLE", `${printable(path)}: can not be read: ${code}`, {
    details: { file: path, systemError: code },
    cause: error,
  });
}
