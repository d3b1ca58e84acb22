/** One element as a JavaScript value, for every dtype that has one. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { bytesOf, type DType } from "./dtype.ts";
import type { Storage } from "./storage.ts";

/** One number, or the two parts of a complex one. */
export type Scalar = number | bigint | boolean | { readonly re: number; readonly im: number };

/** What `decodeElement` needs of a tensor. */
export interface ElementView {
  readonly dtype: DType;
  readonly storage: Storage;
  readonly conj: boolean;
  readonly neg: boolean;
}

/** float16 bits to number. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const FLOAT_BITS = new DataView(new ArrayBuffer(4));

/** bfloat16 bits to number. */
export function bfloat16ToNumber(bits: number): number {
  FLOAT_BITS.setUint32(0, bits << 16);
  return FLOAT_BITS.getFloat32(0);
}

type Reader = (view: DataView, at: number) => Scalar;

const READERS: ReadonlyMap<DType, Reader> = new Map<DType, Reader>([
  ["float32", (view, at) => view.getFloat32(at, true)],
  ["float64", (view, at) => view.getFloat64(at, true)],
  ["float16", (view, at) => float16ToNumber(view.getUint16(at, true))],
  ["bfloat16", (view, at) => bfloat16ToNumber(view.getUint16(at, true))],
  ["int8", (view, at) => view.getInt8(at)],
  ["int16", (view, at) => view.getInt16(at, true)],
  ["int32", (view, at) => view.getInt32(at, true)],
  ["int64", (view, at) => view.getBigInt64(at, true)],
  ["uint8", (view, at) => view.getUint8(at)],
  ["uint16", (view, at) => view.getUint16(at, true)],
  ["uint32", (view, at) => view.getUint32(at, true)],
  ["uint64", (view, at) => view.getBigUint64(at, true)],
  ["bool", (view, at) => view.getUint8(at) !== 0],
  ["complex64", (view, at) => ({ re: view.getFloat32(at, true), im: view.getFloat32(at + 4, true) })],
  ["complex128", (view, at) => ({ re: view.getFloat64(at, true), im: view.getFloat64(at + 8, true) })],
  ["complex32", (view, at) => ({ re: float16ToNumber(view.getUint16(at, true)), im: float16ToNumber(view.getUint16(at + 2, true)) })],
  ["qint8", (view, at) => view.getInt8(at)],
  ["quint8", (view, at) => view.getUint8(at)],
  ["qint32", (view, at) => view.getInt32(at, true)],
]);

/**
 * The value `offset` elements from the start of the storage, lazy conj and neg flags applied.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE for packed and 8-bit float types without a scalar reading here.
 */
export function decodeElement(tensor: ElementView, offset: number): Scalar {
  const reader = READERS.get(tensor.dtype);
  if (!reader) throw new TensorError("RANKCAST_TENSOR_DTYPE", `${tensor.dtype} has no scalar value`, { details: { dtype: tensor.dtype } });
  const bytes = tensor.storage.bytes(bytesOf(tensor.dtype, offset), bytesOf(tensor.dtype, 1));
  const value = reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
  if (typeof value === "object") {
    const sign = tensor.neg ? -1 : 1;
    return { re: sign * value.re, im: sign * (tensor.conj ? -value.im : value.im) };
  }
  return tensor.neg && typeof value !== "boolean" ? -value : value;
}
