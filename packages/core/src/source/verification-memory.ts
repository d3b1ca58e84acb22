/** Remembers digests of files that belong to others (torch's cache, Hugging Face's, the user's), so that each is hashed once. */
import { createHash } from "node:crypto";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { CacheLayout } from "./cache-layout.ts";
import { hashFile } from "./content-hash.ts";
import { makePrivateDirectory, writeWhole } from "./durable-file.ts";
import { type FileMark, isFileMark, isSameMark, markOf } from "./file-mark.ts";
import { notFound } from "./file-source.ts";

interface Memory {
  readonly path: string;
  readonly sha256: string;
  readonly mark: FileMark;
}

/**
 * SHA-256 of a file, from memory when size, times and inode are those of the last time. A cache that can not be written only means that it is
 * computed again.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_FILE_UNREADABLE.
 */
export async function rememberedSha256(layout: CacheLayout, path: string, signal?: AbortSignal): Promise<string> {
  const real = await realpath(path).catch((error: unknown) => {
    throw notFound(path, error);
  });
  const mark = await markOf(real);
  if (mark === null) throw notFound(path);
  const memory = join(layout.verified, `${createHash("sha256").update(real).digest("hex")}.json`);
  const known = await readMemory(memory);
  if (known !== null && known.path === real && isSameMark(known.mark, mark)) return known.sha256;
  const sha256 = await hashFile(real, mark.sizeBytes, signal);
  const after = await markOf(real);
  // A file that changed while it was hashed is not remembered.
  if (after !== null && isSameMark(mark, after)) await remember(layout, memory, { path: real, sha256, mark }).catch(() => undefined);
  return sha256;
}

async function remember(layout: CacheLayout, path: string, memory: Memory): Promise<void> {
  await makePrivateDirectory(layout.verified);
  await writeWhole(path, JSON.stringify(memory), { durable: false });
}

async function readMemory(path: string): Promise<Memory | null> {
  try {
    const memory = JSON.parse(await readFile(path, "utf8")) as Memory;
    return /^[0-9a-f]{64}$/.test(memory.sha256) && isFileMark(memory.mark) ? memory : null;
  } catch {
    return null;
  }
}
