/** What a file looked like when its digest was computed: as long as it looks the same, the digest is believed. */
import { stat } from "node:fs/promises";

/** Size, modification time and inode. */
export interface FileMark {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly inode: number;
}

/** The mark of a regular file; null when there is none. */
export async function markOf(path: string): Promise<FileMark | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? { sizeBytes: found.size, mtimeMs: found.mtimeMs, inode: found.ino } : null;
}

/** Whether both are of the same, unchanged file. */
export function isSameMark(one: FileMark, other: FileMark): boolean {
  return one.sizeBytes === other.sizeBytes && one.mtimeMs === other.mtimeMs && one.inode === other.inode;
}

/** Whether a value read from a file of ours is a mark. */
export function isFileMark(value: unknown): value is FileMark {
  const mark = value as Partial<FileMark> | null;
  return typeof mark === "object" && mark !== null && [mark.sizeBytes, mark.mtimeMs, mark.inode].every((each) => typeof each === "number");
}
