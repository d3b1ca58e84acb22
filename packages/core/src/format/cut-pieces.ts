/** A part of a storage as a storage of its own, without reading anything. */
import type { StorageExtent, StoragePiece, StorageRef } from "../manifest/checkpoint-tree.ts";

/**
 * Pieces of the bytes `[begin, begin + nbytes)` of `storage`, the first of them at 0; null when the bytes only exist after decoding (a part of
 * a compressed record, a rectangle). A whole piece keeps its checksum, a part of one has none.
 */
export function cutPieces(storage: StorageRef, begin: number, nbytes: number): StoragePiece[] | null {
  const pieces: StoragePiece[] = [];
  for (const piece of storage.pieces) {
    const from = Math.max(begin, piece.at);
    const to = Math.min(begin + nbytes, piece.at + piece.nbytes);
    if (from >= to) continue;
    const extent = piece.rectangle === undefined ? cutExtent(piece, from - piece.at, to - from) : null;
    if (extent === null) return null;
    pieces.push({ at: from - begin, nbytes: to - from, extent });
  }
  return pieces;
}

function cutExtent({ extent, nbytes: whole }: StoragePiece, from: number, nbytes: number): StorageExtent | null {
  if (nbytes === whole) return extent;
  if (extent.type === "inline") return { type: "inline", bytes: extent.bytes.subarray(from, from + nbytes) };
  if (extent.encoding !== "stored") return null;
  // The checksum is that of the whole record, and no single reader of a part sees that.
  return { ...extent, offset: extent.offset + from, storedBytes: nbytes, crc32: null };
}
