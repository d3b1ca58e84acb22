/** Storages that are one record of a file, or one run of its bytes. */
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

/**
 * Where the bytes of a storage are: in pieces, in a record, or from this byte on of the file that its traits name, stored and without a checksum. The
 * last two are one object or none where pieces are four, and tables of very many small tensors have little else.
 */
export type StoragePlace = readonly StoragePiece[] | StorageRecord | number;

/** Whether it is a record and not a list of pieces. */
export function isRecord(placed: StoragePlace): placed is StorageRecord {
  return typeof placed === "object" && !Array.isArray(placed);
}

/** The one piece that a run of bytes is; none for an empty one. */
export function pieceOfRun(source: number, offset: number, nbytes: number): StoragePiece[] {
  return nbytes === 0
    ? []
    : [{ at: 0, nbytes, extent: { type: "range", source, offset, storedBytes: nbytes, encoding: "stored", crc32: null } }];
}

/** The one piece that a record is; none for an empty one. */
export function piecesOf({ offset, storedBytes, encoding, crc32, name: record, nbytes }: StorageRecord): StoragePiece[] {
  return nbytes === 0 ? [] : [{ at: 0, nbytes, extent: { type: "range", source: 0, offset, storedBytes, encoding, crc32, record } }];
}
