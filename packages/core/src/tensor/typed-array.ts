/** Which JavaScript array shows a dtype's bytes. */
import { constants } from "node:buffer";
import { TensorError } from "../errors/checkpoint-error.ts";
import type { DType } from "./dtype.ts";
import { bytesOf, traitsOf } from "./dtype.ts";
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

/** Elements of the longest typed array: 2^32 on Node 20. */
const MAX_LENGTH = constants.MAX_LENGTH;

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

/** What showing a tensor as an array needs to know of it. */
interface ArrayView {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
}

/** Whether the tensor's first byte is at an address that its array class accepts. */
export function isAligned({ dtype, storageOffset, storage }: Pick<ArrayView, "dtype" | "storageOffset" | "storage">): boolean {
  return (storage.byteOffset + bytesOf(dtype, storageOffset)) % arrayOf(dtype).BYTES_PER_ELEMENT === 0;
}

/**
 * A typed array from a tensor's first to its last element, without a copy.
 * @throws {TensorError} RANKCAST_TENSOR_META for meta tensors, RANKCAST_TENSOR_ALIGNMENT when the bytes are misaligned for the type,
 * RANKCAST_STORAGE_TOO_LARGE when the array would have more elements than this version of Node allows.
 */
export function typedArrayOver(tensor: ArrayView): TensorArray {
  const { dtype, storage, shape } = tensor;
  if (storage.buffer === null)
    throw new TensorError("RANKCAST_TENSOR_META", "a meta tensor has a shape but no bytes", { details: { dtype, shape } });
  const Constructor = arrayOf(dtype);
  const begin = storage.byteOffset + Math.floor((tensor.storageOffset * traitsOf(dtype).bits) / 8);
  if (!isAligned(tensor)) {
    throw new TensorError(
      "RANKCAST_TENSOR_ALIGNMENT",
      `${dtype} at byte ${begin} is not aligned to ${Constructor.BYTES_PER_ELEMENT} bytes`,
      { details: { dtype, begin } },
    );
  }
  const length = Math.floor(bytesOf(dtype, elementSpan(shape, tensor.stride)) / Constructor.BYTES_PER_ELEMENT);
  if (length > MAX_LENGTH) {
    throw new TensorError("RANKCAST_STORAGE_TOO_LARGE", `an array of ${length} elements is above this Node's limit of ${MAX_LENGTH}`, {
      details: { dtype, shape, allowed: MAX_LENGTH, found: length },
      remedy: "Use storage.bytes(begin, length) for a window of the bytes, or Node 22 or newer.",
    });
  }
  return new Constructor(storage.buffer, begin, length);
}

/**
 * The dtype that an array's elements have when nothing else is said.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE for a class that belongs to no dtype.
 */
export function dtypeOfArray(array: TensorArray): DType {
  const name = Object.prototype.toString.call(array).slice(8, -1);
  const found = ARRAY_DTYPES.get(name);
  if (!found) throw new TensorError("RANKCAST_TENSOR_DTYPE", `no dtype for ${name}; pass { dtype }`, { details: { array: name } });
  return found;
}

// By the class that the engine gives, so that a Buffer or another subclass counts as what it is.
const ARRAY_DTYPES: ReadonlyMap<string, DType> = new Map([
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
  ["Int8Array", "int8"],
  ["Int16Array", "int16"],
  ["Int32Array", "int32"],
  ["BigInt64Array", "int64"],
  ["Uint8Array", "uint8"],
  ["Uint8ClampedArray", "uint8"],
  ["Uint16Array", "uint16"],
  ["Uint32Array", "uint32"],
  ["BigUint64Array", "uint64"],
]);
