/** Remembers which files' stored checksums were compared, so that a file that has not changed is not read again just to verify it. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CacheLayout } from "./cache-layout.ts";
import { makePrivateDirectory, writeWhole } from "./durable-file.ts";
import { type FileMark, isFileMark, isSameMark, markOf } from "./file-mark.ts";

/** A file and what of it was compared. */
export interface CheckedFile {
  readonly path: string;
  /** Digest of the ranges and checksums that are to be compared: another selection is another matter. */
  readonly ranges: string;
}

interface Memory extends CheckedFile {
  readonly mark: FileMark;
}

/** Whether exactly these ranges were compared before and every file still has the size, times and inode it had then. */
export async function wereCompared(layout: CacheLayout, files: readonly CheckedFile[]): Promise<boolean> {
  const known = await Promise.all(files.map((file) => isKnown(layout, file)));
  return known.every((each) => each);
}

/** Remembers files that were compared just now. `marks` are those from before the comparison; a cache that cannot be written forgets. */
export async function rememberCompared(
  layout: CacheLayout,
  files: readonly CheckedFile[],
  marks: ReadonlyMap<string, FileMark>,
): Promise<void> {
  for (const file of files) {
    const before = marks.get(file.path);
    const after = await markOf(file.path);
    // A file that changed meanwhile was not compared as it is now.
    if (!before || !after || !isSameMark(before, after)) continue;
    const memory: Memory = { ...file, mark: after };
    await makePrivateDirectory(layout.verified)
      .then(() => writeWhole(memoryPath(layout, file), JSON.stringify(memory), { durable: false }))
      .catch(() => undefined);
  }
}

async function isKnown(layout: CacheLayout, file: CheckedFile): Promise<boolean> {
  try {
    const memory = JSON.parse(await readFile(memoryPath(layout, file), "utf8")) as Memory;
    const mark = await markOf(file.path);
    return (
      memory.path === file.path &&
      memory.ranges === file.ranges &&
      isFileMark(memory.mark) &&
      mark !== null &&
      isSameMark(memory.mark, mark)
    );
  } catch {
    return false;
  }
}

function memoryPath(layout: CacheLayout, { path, ranges }: CheckedFile): string {
  return join(layout.verified, `${createHash("sha256").update(`${ranges} ${path}`).digest("hex")}.checksums.json`);
}
