/** A rectangle of a tensor as a tensor: whose view it is, and the storage of which only its bytes are read. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { rectangleRuns, type TensorRectangle } from "../format/dcp-rectangle.ts";
import type { StorageExtent, StoragePiece } from "../manifest/checkpoint-tree.ts";
import { copyStorage } from "../manifest/copy-storage.ts";
import type { StorageDescriptor, TensorDescriptor } from "../manifest/manifest.ts";
import { bytesOf, traitsOf } from "../tensor/dtype.ts";
import { elementCount, isContiguous } from "../tensor/strides.ts";

/** More runs than this cost more than the bytes between them: the rectangle is then a view of what lies around it. */
const RUNS_MAX = 100_000;

/** The view of `rectangle`. @throws {UsageError} RANKCAST_USAGE when it leaves the tensor. */
export function viewRectangle(tensor: TensorDescriptor, { offsets, sizes }: TensorRectangle): TensorDescriptor {
  const { shape, stride } = tensor;
  const isCount = (value: number | undefined): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  const inside = shape.every((size, axis) => {
    const [offset, length] = [offsets[axis], sizes[axis]];
    return isCount(offset) && isCount(length) && offset + length <= size;
  });
  if (!inside || offsets.length !== shape.length || sizes.length !== shape.length) {
    throw new UsageError(
      "RANKCAST_USAGE",
      `rectangle [${sizes.join(", ")}] at [${offsets.join(", ")}] is outside shape [${shape.join(", ")}]`,
      {
        details: { offsets: [...offsets], sizes: [...sizes], shape },
      },
    );
  }
  const skipped = offsets.reduce((sum, offset, axis) => sum + offset * (stride[axis] ?? 0), 0);
  return { ...tensor, shape: [...sizes], storageOffset: tensor.storageOffset + skipped };
}

/**
 * A storage that is `rectangle`, row by row, and nothing else. Null where the bytes cannot be had in parts: compressed, without a file, not row by row.
 * Parts of a record cannot be compared with the record's checksum.
 */
export function cutRectangle(storage: StorageDescriptor, tensor: TensorDescriptor, rectangle: TensorRectangle): StorageDescriptor | null {
  const { dtype, shape, stride } = tensor;
  const { pieces, meta } = storage;
  if (meta || pieces.length === 0 || !pieces.every(isStored)) return null;
  if (traitsOf(dtype).bits % 8 !== 0 || !isContiguous(shape, stride)) return null;
  const cut: StoragePiece[] = [];
  for (const { piece, from, at, nbytes } of rectangleRuns(
    { dtype, shape, stride, storageOffset: tensor.storageOffset, storage },
    rectangle,
  )) {
    if (cut.length === RUNS_MAX) return null;
    cut.push({ at, nbytes, extent: partOf(piece.extent, from, nbytes) });
  }
  cut.sort((a, b) => a.at - b.at);
  return copyStorage(storage, { nbytes: bytesOf(dtype, elementCount(rectangle.sizes)), pieces: cut });
}

function isStored({ extent }: StoragePiece): boolean {
  return extent.type === "inline" || extent.encoding === "stored";
}

function partOf(extent: StorageExtent, from: number, nbytes: number): StorageExtent {
  if (extent.type === "inline") return { type: "inline", bytes: extent.bytes.subarray(from, from + nbytes) };
  return { ...extent, offset: extent.offset + from, storedBytes: nbytes, crc32: null };
}
