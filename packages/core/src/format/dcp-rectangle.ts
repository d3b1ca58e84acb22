/**
 * Re-sharding: which bytes of which files make up one rectangle of a tensor. A rank that keeps a part of each tensor reads only that part,
 * however the checkpoint was cut when it was saved.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import type { StoragePiece } from "../manifest/checkpoint-tree.ts";
import type { DType } from "../tensor/dtype.ts";
import { bytesOf, traitsOf } from "../tensor/dtype.ts";
import { contiguousStrides, elementCount, isContiguous } from "../tensor/strides.ts";

/** A box inside a tensor: `sizes[axis]` elements from `offsets[axis]` on. */
export interface TensorRectangle {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

/** The tensor that a rectangle is cut of. */
export interface CutTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: { readonly pieces: readonly StoragePiece[] };
}

/** A run of bytes to be copied from a piece of a storage into the row-major rectangle. */
export interface RectangleRun {
  readonly piece: StoragePiece;
  /** First byte in the piece's decoded bytes. */
  readonly from: number;
  /** First byte in the rectangle. */
  readonly at: number;
  readonly nbytes: number;
}

/** A dense row-major block of the tensor that one piece holds. */
interface Block extends TensorRectangle {
  readonly piece: StoragePiece;
  /** Byte of the piece where the block begins. */
  readonly begin: number;
}

/**
 * The runs of `rectangle`, piece by piece and row by row; neighbouring rows that are whole on both sides are one run. Each byte of the rectangle is
 * in exactly one run. Bytes are as stored: `swapBytes` of the storage still applies.
 * @throws {FormatError} RANKCAST_UNSUPPORTED when the tensor is not row-major over its storage or is packed; {RangeError} when the rectangle leaves it.
 */
export function* rectangleRuns(tensor: CutTensor, rectangle: TensorRectangle): Generator<RectangleRun> {
  const { shape, dtype } = tensor;
  if (traitsOf(dtype).bits % 8 !== 0 || !isContiguous(shape, tensor.stride))
    throw new FormatError("RANKCAST_UNSUPPORTED", `a rectangle of ${dtype} [${shape}] that is not stored row by row`, {
      details: { feature: "rectangle of a strided or packed tensor", shape, dtype },
    });
  const inside = shape.every(
    (size, axis) => (rectangle.offsets[axis] ?? -1) >= 0 && (rectangle.offsets[axis] ?? 0) + (rectangle.sizes[axis] ?? Number.NaN) <= size,
  );
  if (!inside) throw new RangeError(`[${rectangle.sizes}] at [${rectangle.offsets}] leaves [${shape}]`);
  if (rectangle.sizes.includes(0)) return;
  for (const block of blocksOf(tensor)) yield* runsOfBlock(block, rectangle, bytesOf(dtype, 1));
}

/** Every piece as blocks of the tensor. A plain piece may begin and end inside a row, so it is up to three runs of rows on each axis. */
function* blocksOf(tensor: CutTensor): Generator<Block> {
  const { shape, dtype, storage } = tensor;
  const itemBytes = bytesOf(dtype, 1);
  const first = bytesOf(dtype, tensor.storageOffset);
  const end = first + elementCount(shape) * itemBytes;
  for (const piece of storage.pieces) {
    if (piece.rectangle) {
      yield { piece, offsets: piece.rectangle.offsets, sizes: piece.rectangle.sizes, begin: 0 };
      continue;
    }
    const from = Math.max(first, piece.at);
    const to = Math.min(end, piece.at + piece.nbytes);
    if (from < to)
      yield* linearBlocks(
        piece,
        shape,
        (from - first) / itemBytes,
        (to - first) / itemBytes,
        (element) => element * itemBytes + first - piece.at,
      );
  }
}

/** Elements `[from, to)` of a row-major tensor as boxes: the largest whole box at each step. */
function* linearBlocks(
  piece: StoragePiece,
  shape: readonly number[],
  from: number,
  to: number,
  byteOf: (element: number) => number,
): Generator<Block> {
  const steps = contiguousStrides(shape);
  let at = from;
  while (at < to) {
    const index = steps.map((step, axis) => Math.floor(at / step) % (shape[axis] ?? 1));
    // The slowest axis whose faster axes all begin at 0 and whose one step still fits.
    let axis = shape.length - 1;
    while (axis > 0 && (index[axis] ?? 0) === 0 && at + (steps[axis - 1] ?? 1) <= to) axis -= 1;
    const step = steps[axis] ?? 1;
    const count = axis < 0 ? 1 : Math.min((shape[axis] ?? 1) - (index[axis] ?? 0), Math.floor((to - at) / step));
    const sizes = shape.map((size, each) => (each < axis ? 1 : each === axis ? count : size));
    yield { piece, offsets: index, sizes, begin: byteOf(at) };
    at += axis < 0 ? 1 : count * step;
  }
}

function* runsOfBlock(block: Block, rectangle: TensorRectangle, itemBytes: number): Generator<RectangleRun> {
  const low = block.offsets.map((offset, axis) => Math.max(offset, rectangle.offsets[axis] ?? 0));
  const sizes = low.map((from, axis) => {
    const high = Math.min(
      (block.offsets[axis] ?? 0) + (block.sizes[axis] ?? 0),
      (rectangle.offsets[axis] ?? 0) + (rectangle.sizes[axis] ?? 0),
    );
    return Math.max(0, high - from);
  });
  if (sizes.includes(0)) return;
  const blockSteps = contiguousStrides(block.sizes);
  const targetSteps = contiguousStrides(rectangle.sizes);
  // Axes that are whole in block and rectangle run on without a gap, so they belong to the run.
  let rowAxis = sizes.length - 1;
  while (rowAxis > 0 && sizes[rowAxis] === block.sizes[rowAxis] && sizes[rowAxis] === rectangle.sizes[rowAxis]) rowAxis -= 1;
  const rowElements = elementCount(sizes.slice(Math.max(rowAxis, 0)));
  const outer = sizes.slice(0, Math.max(rowAxis, 0));
  const outerSteps = contiguousStrides(outer);
  for (let row = 0; row < elementCount(outer); row += 1) {
    let from = 0;
    let at = 0;
    for (const [axis, begin] of low.entries()) {
      const moved = begin + (axis < outer.length ? Math.floor(row / (outerSteps[axis] ?? 1)) % (outer[axis] ?? 1) : 0);
      from += (moved - (block.offsets[axis] ?? 0)) * (blockSteps[axis] ?? 1);
      at += (moved - (rectangle.offsets[axis] ?? 0)) * (targetSteps[axis] ?? 1);
    }
    yield { piece: block.piece, from: block.begin + from * itemBytes, at: at * itemBytes, nbytes: rowElements * itemBytes };
  }
}
