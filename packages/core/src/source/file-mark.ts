/** What a file looked like when its digest was computed: as long as it looks the same, the digest is believed. */
import { stat } from "node:fs/promises";

/**
 * Size, modification time, inode, and the time of the inode's last change: a program can set the modification time back after a change in place
 * (`cp -p`, `rsync -t --inplace`), and no program can set that one.
 */
export interface FileMark {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly inode: number;
}

const MARKS = ["sizeBytes", "mtimeMs", "ctimeMs", "inode"] as const;

/** The mark of a regular file; null when there is none. */
export async function markOf(path: string): Promise<FileMark | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? { sizeBytes: found.size, mtimeMs: found.mtimeMs, ctimeMs: found.ctimeMs, inode: found.ino } : null;
}

/** Whether both are of the same, unchanged file. */
export function isSameMark(one: FileMark, other: FileMark): boolean {
  return MARKS.every((name) => one[name] === other[name]);
}

/** Whether a value read from a file of ours is a mark; one that was written before `ctimeMs` was part of it is like no file, and so is proved anew. */
export function isFileMark(value: unknown): value is FileMark {
  const mark = value as Partial<FileMark> | null;
  return typeof mark === "object" && mark !== null && [mark.sizeBytes, mark.mtimeMs, mark.inode].every((each) => typeof each === "number");
}
