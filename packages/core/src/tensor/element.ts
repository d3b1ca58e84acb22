/** One element as a JavaScript value, for every dtype that has one. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { type DType, traitsOf } from "./dtype.ts";
import { decodeTable, isSmallFloat, type SmallFloat } from "./float-bits.ts";
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

const FLOAT32 = new DataView(new ArrayBuffer(4));

/** The number that a pattern of a small float stands for. */
export function smallFloatToNumber(dtype: SmallFloat, pattern: number): number {
  FLOAT32.setUint32(0, dtype === "bfloat16" ? pattern << 16 : (decodeTable(dtype)[pattern] ?? 0));
  return FLOAT32.getFloat32(0);
}

type Reader = (view: DataView, at: number) => Scalar;

const half = (view: DataView, at: number) => smallFloatToNumber("float16", view.getUint16(at, true));

const READERS: ReadonlyMap<DType, Reader> = new Map<DType, Reader>([
  ["float32", (view, at) => view.getFloat32(at, true)],
  ["float64", (view, at) => view.getFloat64(at, true)],
  ["float16", half],
  ["bfloat16", (view, at) => smallFloatToNumber("bfloat16", view.getUint16(at, true))],
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
  ["complex32", (view, at) => ({ re: half(view, at), im: half(view, at + 2) })],
  // Quantised types: the stored integer; what it stands for needs the tensor's scale and zero point.
  ["qint8", (view, at) => view.getInt8(at)],
  ["quint8", (view, at) => view.getUint8(at)],
  ["qint32", (view, at) => view.getInt32(at, true)],
  // Raw bits: the stored pattern.
  ["bits8", (view, at) => view.getUint8(at)],
  ["bits1x8", (view, at) => view.getUint8(at)],
  ["bits2x4", (view, at) => view.getUint8(at)],
  ["bits4x2", (view, at) => view.getUint8(at)],
  ["bits16", (view, at) => view.getUint16(at, true)],
]);

/**
 * The value `offset` elements from the start of the storage, lazy conj and neg flags applied. Quantised types give the stored integer, bit
 * types the pattern.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE for float4_e2m1fn_x2 (two values per element) and the 6-bit floats (no packing is specified).
 */
export function decodeElement(tensor: ElementView, offset: number): Scalar {
  const { dtype, storage } = tensor;
  const { bits } = traitsOf(dtype);
  const begin = Math.floor((offset * bits) / 8);
  const bytes = storage.bytes(begin, Math.ceil(bits / 8));
  if (isSmallFloat(dtype) && bits === 8) return signed(tensor, smallFloatToNumber(dtype, bytes[0] ?? 0));
  // quint4x2 and quint2x4: the first element is in the low bits (torch `aten/src/ATen/native/quantized/AffineQuantizer.cpp`).
  if (dtype === "quint4x2" || dtype === "quint2x4") return ((bytes[0] ?? 0) >> ((offset * bits) % 8)) & (2 ** bits - 1);
  const reader = READERS.get(dtype);
  if (!reader) throw new TensorError("RANKCAST_TENSOR_DTYPE", `one ${dtype} is no scalar value`, { details: { dtype } });
  return signed(tensor, reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0));
}

function signed({ dtype, conj, neg }: ElementView, value: Scalar): Scalar {
  if (typeof value === "object") return { re: neg ? -value.re : value.re, im: neg !== conj ? -value.im : value.im };
  if (!neg || typeof value === "boolean") return value;
  const { kind, bits } = traitsOf(dtype);
  if (kind !== "int" && kind !== "uint") return -Number(value);
  // Two's complement: the negative of the lowest integer is itself.
  const wrapped = kind === "int" ? BigInt.asIntN(bits, -BigInt(value)) : BigInt.asUintN(bits, -BigInt(value));
  return typeof value === "bigint" ? wrapped : Number(wrapped);
}
