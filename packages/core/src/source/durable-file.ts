/** Small files that are whole or absent, also after a crash; and the system errors of everything that writes. */
import { constants } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { makeDirectories } from "./make-directories.ts";
import { uniqueTag } from "./process-identity.ts";

/** Flags of every temporary file: created by us, never through a link somebody put there. */
export const CREATE_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Replaces `path` by a file with this text, in one step. `durable` also survives power loss (file and directory are synced).
 * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
 */
export async function writeWhole(path: string, text: string, options: { readonly durable: boolean }): Promise<void> {
  const temporary = `${path}.${uniqueTag()}.tmp`;
  try {
    await writeNew(temporary, text, options.durable);
    await rename(temporary, path);
    if (options.durable) await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw writeError(path, error);
  }
}

/**
 * Creates `path` with this text when it is not there; whoever comes second leaves it as it is. It appears whole.
 * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
 */
export async function createWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${uniqueTag()}.tmp`;
  try {
    await writeNew(temporary, text, false);
    // A link, unlike a rename, fails when another process was first.
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
  } catch (error) {
    throw writeError(path, error);
  } finally {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

async function writeNew(path: string, text: string, durable: boolean): Promise<void> {
  const handle = await open(path, CREATE_FLAGS, 0o600);
  try {
    await handle.writeFile(text);
    if (durable) await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes names in a directory survive power loss. Where a directory can not be opened for that (some network file systems), the rename stands alone. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY).catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/** Creates a directory for us alone, with its parents. @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL. */
export async function makePrivateDirectory(path: string): Promise<void> {
  try {
    makeDirectories(path, 0o700);
  } catch (error) {
    throw writeError(path, error);
  }
}

/** What a failed write, rename or create means. */
export function writeError(
  path: string,
  error: unknown,
  sizes: { readonly neededBytes?: number; readonly freeBytes?: number } = {},
): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof SourceError || code === undefined) return error;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    const needed = sizes.neededBytes === undefined ? "" : `: ${sizes.neededBytes} bytes needed`;
    const free = sizes.freeBytes === undefined ? "" : `, ${sizes.freeBytes} free`;
    return new SourceError("RANKCAST_DISK_FULL", `${printable(dirname(path))}: no space left${needed}${free}`, {
      details: { directory: dirname(path), systemError: code, ...sizes },
      cause: error,
    });
  }
  return new SourceError("RANKCAST_CACHE_WRITE", `${printable(path)}: can not be written: ${code}`, {
    details: { file: path, systemError: code },
    cause: error,
  });
}
