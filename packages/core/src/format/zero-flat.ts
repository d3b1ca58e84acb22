/** The flat vectors in which ZeRO keeps parameters: pieces of several ranks' tensors, one behind the other. */
import { type StoragePiece, StorageRef, TensorRef } from "../manifest/checkpoint-tree.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { contiguousStrides, elementCount, isContiguous } from "../tensor/strides.ts";
import { cutPieces } from "./cut-pieces.ts";

/** A run of elements of one rank's flat tensor. */
export interface FlatRun {
  readonly tensor: TensorRef;
  /** What to add to the source index of its pieces. */
  readonly sourceShift: number;
  /** First element. */
  readonly from: number;
  readonly count: number;
}

/** Whether a value can be cut into runs: a row-major tensor of whole bytes, as `torch.cat` and `narrow` leave it. */
export function isFlat(value: unknown): value is TensorRef {
  return value instanceof TensorRef && !value.conj && !value.neg && isContiguous(value.shape, value.stride);
}

/**
 * One tensor out of runs that hold its elements in order; null when a run is in a compressed record or the runs are of several types.
 * Elements behind the last one that `shape` needs are padding and left out.
 */
export function tensorOfRuns(name: string, shape: readonly number[], runs: readonly FlatRun[]): TensorRef | null {
  const dtype = runs[0]?.tensor.dtype ?? "float32";
  const swapBytes = runs[0]?.tensor.storage.swapBytes ?? 1;
  const pieces: StoragePiece[] = [];
  let at = 0;
  for (const run of runs) {
    const left = elementCount(shape) - at;
    const count = Math.min(run.count, left);
    if (count === 0) continue;
    if (run.tensor.dtype !== dtype || run.tensor.storage.swapBytes !== swapBytes) return null;
    const cut = runPieces(run, dtype, count, bytesOf(dtype, at));
    if (cut === null) return null;
    pieces.push(...cut);
    at += count;
  }
  const storage = new StorageRef({ nbytes: bytesOf(dtype, elementCount(shape)), pieces, swapBytes, key: name });
  return new TensorRef({ dtype, shape, stride: contiguousStrides(shape), storageOffset: 0, storage, origin: "parameter" });
}

function runPieces({ tensor, sourceShift, from }: FlatRun, dtype: DType, count: number, at: number): StoragePiece[] | null {
  const cut = cutPieces(tensor.storage, bytesOf(dtype, tensor.storageOffset + from), bytesOf(dtype, count));
  return (
    cut?.map((piece) => ({
      at: at + piece.at,
      nbytes: piece.nbytes,
      extent: piece.extent.type === "inline" ? piece.extent : { ...piece.extent, source: piece.extent.source + sourceShift },
    })) ?? null
  );
}
