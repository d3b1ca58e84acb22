/** What copying and digesting need to know of a tensor, and how to cut it into parts. Pure. */
import { type DType, traitsOf } from "./dtype.ts";
import type { Storage } from "./storage.ts";
import { contiguousStrides, elementCount, isContiguous } from "./strides.ts";

/** A tensor as far as its elements are concerned; strides and offset in elements. */
export interface StridedView {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
  /** The values are the complex conjugate, or the negative, of what is stored. */
  readonly conj: boolean;
  readonly neg: boolean;
}

/** A box of a shape whose elements follow each other in row-major order. */
export interface Block {
  /** Index of the first element, per axis. */
  readonly begin: readonly number[];
  readonly shape: readonly number[];
  /** Row-major number of the first element. */
  readonly first: number;
  readonly count: number;
}

/**
 * Cuts a shape into boxes of at most `elementsMax` elements, in row-major order and without gaps. Only one axis is cut in pieces; those
 * before it are taken one index at a time, those behind it whole.
 */
export function* rowMajorBlocks(shape: readonly number[], elementsMax: number): Generator<Block> {
  const total = elementCount(shape);
  if (total === 0) return;
  let cut = shape.length - 1;
  let inner = 1;
  while (cut >= 0 && inner * (shape[cut] as number) <= elementsMax) {
    inner *= shape[cut] as number;
    cut -= 1;
  }
  if (cut < 0) {
    yield { begin: shape.map(() => 0), shape, first: 0, count: total };
    return;
  }
  const rows = shape[cut] as number;
  const step = Math.max(1, Math.floor(elementsMax / inner));
  const strides = contiguousStrides(shape);
  for (let first = 0; first < total; ) {
    const begin = strides.map((stride, axis) => (axis <= cut ? Math.floor(first / stride) % (shape[axis] as number) : 0));
    const size = Math.min(step, rows - (begin[cut] as number));
    const sizes = shape.map((whole, axis) => (axis < cut ? 1 : axis === cut ? size : whole));
    yield { begin, shape: sizes, first, count: size * inner };
    first += size * inner;
  }
}

/** The part of `view` that `block` names. */
export function narrowView(view: StridedView, block: Block): StridedView {
  const storageOffset = block.begin.reduce((offset, index, axis) => offset + index * (view.stride[axis] ?? 0), view.storageOffset);
  return { ...plainView(view), shape: block.shape, storageOffset };
}

/** A row-major view at the start of `storage`. */
export function contiguousView(dtype: DType, shape: readonly number[], storage: Storage): StridedView {
  return { dtype, shape, stride: contiguousStrides(shape), storageOffset: 0, storage, conj: false, neg: false };
}

/** Whether the elements lie row-major, without gaps and as they are meant, so that their bytes can be used as they stand. */
export function isPlain(view: StridedView): boolean {
  return !view.conj && !view.neg && isContiguous(view.shape, view.stride) && startsOnByte(view);
}

/** Byte offset of the first element from the start of the storage; packed types may start inside that byte. */
export function beginByte(view: StridedView): number {
  return Math.floor((view.storageOffset * traitsOf(view.dtype).bits) / 8);
}

/** False only for packed types that begin in the middle of a byte. */
export function startsOnByte(view: StridedView): boolean {
  return (view.storageOffset * traitsOf(view.dtype).bits) % 8 === 0;
}

/** Only the fields of a view: spreading a `Tensor` would copy more. */
function plainView({ dtype, shape, stride, storageOffset, storage, conj, neg }: StridedView): StridedView {
  return { dtype, shape, stride, storageOffset, storage, conj, neg };
}
