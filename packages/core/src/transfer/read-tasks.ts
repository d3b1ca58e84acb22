/**
 * Decides how pieces are read. Pure. Large stored pieces go straight into their final memory. Small ones lie side by side in files (torch
 * writes 100 000 records of some hundred bytes), and a request for each would cost more than the bytes: neighbours share one.
 */
import type { StorageExtent, StoragePiece } from "../manifest/checkpoint-tree.ts";
import type { StorageDescriptor } from "../manifest/manifest.ts";
import type { Storage } from "../tensor/storage.ts";

/** One storage and the memory it goes to; `target.nbytes` equals `storage.nbytes`. */
export interface StorageRead {
  readonly storage: StorageDescriptor;
  readonly target: Storage;
}

/** A piece whose bytes are in a file. */
export interface FilePiece {
  readonly read: StorageRead;
  readonly piece: StoragePiece;
  readonly extent: StorageExtent & { readonly type: "range" };
}

/** One unit of work; bytes `[begin, end)` of file `source`. */
export interface ReadTask {
  /** `whole`: one large piece, read in portions. `group`: small neighbours, read at once. */
  readonly type: "whole" | "group";
  readonly source: number;
  readonly begin: number;
  readonly end: number;
  readonly pieces: readonly FilePiece[];
}

/** Pieces from this size on are read on their own: a copy in between would cost more than a request. */
const WHOLE_BYTES_MIN = 256 * 1024;
/** Bytes that may be read needlessly between two neighbours; a request costs about as much as this many bytes. */
const GAP_BYTES_MAX = 16 * 1024;
const GROUP_BYTES_MAX = 2 ** 20;

/** All reads for these pieces, by file and offset. Every byte of a piece is in exactly one task. */
export function planTasks(pieces: readonly FilePiece[]): ReadTask[] {
  const ordered = [...pieces].sort((a, b) => a.extent.source - b.extent.source || a.extent.offset - b.extent.offset);
  const tasks: ReadTask[] = [];
  let group: FilePiece[] = [];
  let end = 0;
  const flush = (): void => {
    const [first] = group;
    if (first) tasks.push({ type: "group", source: first.extent.source, begin: first.extent.offset, end, pieces: group });
    group = [];
  };
  for (const each of ordered) {
    const { source, offset, storedBytes } = each.extent;
    if (isLarge(each)) {
      tasks.push({ type: "whole", source, begin: offset, end: offset + storedBytes, pieces: [each] });
      continue;
    }
    const first = group[0]?.extent;
    const joins =
      first && first.source === source && offset - end <= GAP_BYTES_MAX && offset + storedBytes - first.offset <= GROUP_BYTES_MAX;
    if (!joins) flush();
    end = group.length === 0 ? offset + storedBytes : Math.max(end, offset + storedBytes);
    group.push(each);
  }
  flush();
  return tasks;
}

function isLarge({ piece, extent }: FilePiece): boolean {
  return piece.nbytes >= WHOLE_BYTES_MIN || extent.storedBytes >= WHOLE_BYTES_MIN;
}
