/**
 * Proves that a tensor's numbers are a layout and stay inside its storage.
 *
 * Products and sums are taken in doubles: all factors are whole, at least 1 and at most 2^53-1, rounding is monotone, so a result that
 * is at most 2^53-1 is exact, and one that truly exceeds it is never rounded to less.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { isDType, traitsOf } from "../tensor/dtype.ts";
import type { StorageDescriptor, TensorDescriptor } from "./manifest.ts";

/** The layout that was proved last. Tables share shapes and strides, so most tensors have that of the one before. */
export interface ProvedLayout {
  shape: readonly number[];
  stride: readonly number[];
  elements: number;
  /** Elements from the first to behind the last. */
  span: number;
}

/** The layout of a scalar, with which a table begins. */
export function scalarLayout(): ProvedLayout {
  return { shape: [], stride: [], elements: 1, span: 1 };
}

/** What tensors are checked against. */
export interface TensorContext {
  readonly limits: Limits;
  readonly file: string;
  readonly proved: ProvedLayout;
}

/**
 * Checks one tensor; returns the bytes by which writing it out exceeds what it covers of its storage (0 unless strides repeat elements).
 * @throws {FormatError} RANKCAST_TENSOR_LAYOUT, RANKCAST_TENSOR_BOUNDS, RANKCAST_LIMIT (`tensorRank`, `materialisedRatio`).
 */
export function validateTensor(tensor: TensorDescriptor, storage: StorageDescriptor | undefined, context: TensorContext): number {
  const { limits, file } = context;
  if (!isDType(tensor.dtype)) throw layoutError(tensor, file, `dtype ${quote(String(tensor.dtype))} is unknown`);
  if (storage === undefined) throw layoutError(tensor, file, `storage ${tensor.storage} does not exist`);
  const extent = extentOf(tensor, context);
  if (storage.meta) return 0;
  const bits = traitsOf(tensor.dtype).bits;
  const end = extent.span === 0 ? 0 : tensor.storageOffset + extent.span;
  if (Math.ceil((end * bits) / 8) > storage.nbytes) {
    throw new FormatError(
      "RANKCAST_TENSOR_BOUNDS",
      `${where(tensor, file)}: ${tensor.dtype} [${tensor.shape}] with strides [${tensor.stride}] at offset ${tensor.storageOffset} reaches element ${end}, its storage has ${storage.nbytes} bytes`,
      { details: { file, key: tensor.name, expected: storage.nbytes, found: Math.ceil((end * bits) / 8) } },
    );
  }
  const writtenBytes = (extent.elements * bits) / 8;
  const allowed = Math.max(limits.materialisedBytesFloor, limits.materialisedRatio * storage.nbytes);
  if (writtenBytes > allowed) {
    const what = `tensor ${quote(tensor.name)}: written out it has ${writtenBytes} bytes, its storage ${storage.nbytes}; ratio`;
    enforceLimit(limits, "materialisedRatio", writtenBytes / Math.max(storage.nbytes, 1), { file, what });
  }
  return Math.max(0, ((extent.elements - extent.span) * bits) / 8);
}

/** The layout, which is then the one proved last. */
function extentOf(tensor: TensorDescriptor, { limits, file, proved }: TensorContext): ProvedLayout {
  const { shape, stride, storageOffset } = tensor;
  if (shape === proved.shape && stride === proved.stride && isCount(storageOffset) && isCount(proved.span + storageOffset)) return proved;
  if (shape.length > limits.tensorRank) enforceLimit(limits, "tensorRank", shape.length, { file, what: `tensor ${quote(tensor.name)}` });
  if (shape.length !== stride.length) throw layoutError(tensor, file, `${shape.length} sizes, but ${stride.length} strides`);
  if (!isCount(storageOffset)) throw layoutError(tensor, file, `storage offset ${storageOffset}`);
  let elements = 1;
  let filled = 1;
  let span = 1;
  for (let axis = 0; axis < shape.length; axis += 1) {
    const size = shape[axis] ?? -1;
    const step = stride[axis] ?? -1;
    if (!isCount(size) || !isCount(step)) throw layoutError(tensor, file, `axis ${axis} has size ${size} and stride ${step}`);
    elements *= size;
    // torch refuses sizes whose product overflows even when another axis is 0.
    filled *= Math.max(size, 1);
    span += Math.max(size - 1, 0) * step;
  }
  if (!(filled <= Number.MAX_SAFE_INTEGER) || (elements > 0 && !(span + storageOffset <= Number.MAX_SAFE_INTEGER))) {
    throw layoutError(tensor, file, `shape [${shape}] with strides [${stride}] has more elements than can be counted`);
  }
  proved.shape = shape;
  proved.stride = stride;
  proved.elements = elements;
  proved.span = elements === 0 ? 0 : span;
  return proved;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function where(tensor: TensorDescriptor, file: string): string {
  return `${printable(file)}: tensor ${quote(tensor.name)}`;
}

function layoutError(tensor: TensorDescriptor, file: string, text: string): FormatError {
  return new FormatError("RANKCAST_TENSOR_LAYOUT", `${where(tensor, file)}: ${text}`, { details: { file, key: tensor.name } });
}
