/** Which JavaScript array shows a dtype's bytes. */
import { TensorError } from "../errors/checkpoint-error.ts";
import type { DType } from "./dtype.ts";
import { bytesOf } from "./dtype.ts";
import type { Storage } from "./storage.ts";
import { elementSpan } from "./strides.ts";

/** Any typed array a tensor may be shown as. */
export type TensorArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

type ArrayConstructor = {
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorArray;
  readonly BYTES_PER_ELEMENT: number;
};

const ARRAYS: ReadonlyMap<DType, ArrayConstructor> = new Map<DType, ArrayConstructor>([
  ["float32", Float32Array],
  ["float64", Float64Array],
  ["float16", Uint16Array],
  ["bfloat16", Uint16Array],
  ["int8", Int8Array],
  ["int16", Int16Array],
  ["int32", Int32Array],
  ["int64", BigInt64Array],
  ["uint16", Uint16Array],
  ["uint32", Uint32Array],
  ["uint64", BigUint64Array],
  ["complex32", Uint16Array],
  ["complex64", Float32Array],
  ["complex128", Float64Array],
  ["bits16", Uint16Array],
  ["qint8", Int8Array],
  ["qint32", Int32Array],
]);

/** The array class for `dtype`; everything of one byte or packed is shown as `Uint8Array`. */
export function arrayOf(dtype: DType): ArrayConstructor {
  return ARRAYS.get(dtype) ?? Uint8Array;
}

/**
 * A typed array from a tensor's first to its last element, without a copy.
 * @throws {TensorError} RANKCAST_TENSOR_META for meta tensors, RANKCAST_TENSOR_ALIGNMENT when the bytes are misaligned for the type.
 */
export function typedArrayOver(tensor: {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
}): TensorArray {
  const { dtype, storage } = tensor;
  if (storage.buffer === null)
    throw new TensorError("RANKCAST_TENSOR_META", "a meta tensor has a shape but no bytes", { details: { dtype, shape: tensor.shape } });
  const Constructor = arrayOf(dtype);
  const begin = storage.byteOffset + bytesOf(dtype, tensor.storageOffset);
  if (begin % Constructor.BYTES_PER_ELEMENT !== 0) {
    throw new TensorError(
      "RANKCAST_TENSOR_ALIGNMENT",
      `${dtype} at byte ${begin} is not aligned to ${Constructor.BYTES_PER_ELEMENT} bytes`,
      { details: { dtype, begin } },
    );
  }
  return new Constructor(
    storage.buffer,
    begin,
    Math.floor(bytesOf(dtype, elementSpan(tensor.shape, tensor.stride)) / Constructor.BYTES_PER_ELEMENT),
  );
}
