/** Storages that are one record of a file. */
import type { StoragePiece } from "./checkpoint-tree.ts";

/** One record of the tree's first file that is a storage whole: what its directory holds anyway, where pieces would be four more objects. */
export interface StorageRecord {
  readonly name: string;
  readonly offset: number;
  readonly storedBytes: number;
  readonly nbytes: number;
  readonly encoding: "stored" | "deflate";
  readonly crc32: number | null;
}

/** Whether it is a record and not a list of pieces. */
export function isRecord(placed: readonly StoragePiece[] | StorageRecord): placed is StorageRecord {
  return !Array.isArray(placed);
}

/** The one piece that a record is; none for an empty one. */
export function piecesOf({ offset, storedBytes, encoding, crc32, name: record, nbytes }: StorageRecord): StoragePiece[] {
  return nbytes === 0 ? [] : [{ at: 0, nbytes, extent: { type: "range", source: 0, offset, storedBytes, encoding, crc32, record } }];
}
