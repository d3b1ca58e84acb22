/** Writing a strided tensor out row-major. */
import { bytesOf, type DType, traitsOf } from "./dtype.ts";
import { Storage } from "./storage.ts";
import { elementCount } from "./strides.ts";

/** What a copy needs of its source. */
export interface StridedView {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
  readonly conj: boolean;
  readonly neg: boolean;
}

/** A fresh storage with the view's elements row-major; conj and neg are applied. */
export function gatherContiguous(view: StridedView): Storage {
  const target = Storage.allocate(bytesOf(view.dtype, elementCount(view.shape)));
  const itemBytes = bytesOf(view.dtype, 1);
  const into = target.bytes();
  let at = 0;
  for (const offset of elementOffsets(view.shape, view.stride, view.storageOffset)) {
    into.set(view.storage.bytes(offset * itemBytes, itemBytes), at);
    at += itemBytes;
  }
  if (view.conj || view.neg) resolveFlags(target, view);
  return target;
}

/** Offsets of all elements, row-major, iteratively. */
function* elementOffsets(shape: readonly number[], stride: readonly number[], start: number): Generator<number> {
  const count = elementCount(shape);
  const index = new Array<number>(shape.length).fill(0);
  let offset = start;
  for (let done = 0; done < count; done += 1) {
    yield offset;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const next = (index[axis] ?? 0) + 1;
      offset += stride[axis] ?? 0;
      if (next < (shape[axis] ?? 1)) {
        index[axis] = next;
        break;
      }
      offset -= next * (stride[axis] ?? 0);
      index[axis] = 0;
    }
  }
}

/** Flips sign bits: all components for neg, the imaginary ones for conj. The sign is the top bit of each little-endian component. */
function resolveFlags(storage: Storage, view: StridedView): void {
  const { swapBytes, kind } = traitsOf(view.dtype);
  const bytes = storage.bytes();
  const complex = kind === "complex";
  for (let component = 0; component * swapBytes < bytes.length; component += 1) {
    const imaginary = complex && component % 2 === 1;
    if (view.neg !== (imaginary && view.conj)) {
      const top = component * swapBytes + swapBytes - 1;
      bytes[top] = (bytes[top] ?? 0) ^ 0x80;
    }
  }
}
