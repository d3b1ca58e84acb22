/**
 * The element types. Names are torch's without `torch.`. Facts: torch `c10/core/ScalarType.h` and `torch/storage.py`, safetensors
 * `src/tensor.rs`.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import { describeFound } from "../errors/require-options.ts";

/** How elements of a type are to be read. */
export type DTypeKind = "float" | "int" | "uint" | "bool" | "complex" | "bits" | "quantised";

/** What is known about one element type. */
export interface DTypeTraits {
  readonly name: DType;
  /** Bits of one element; 4 and 2 for packed quantised types, 6 for two safetensors-only floats. */
  readonly bits: number;
  readonly kind: DTypeKind;
  /** Bytes that swap together when endianness differs: the component, so half the element for complex; 1 = nothing to swap. */
  readonly swapBytes: 1 | 2 | 4 | 8;
  /** Name in safetensors files, or null when that format has none. */
  readonly safetensors: string | null;
}

const ROWS = [
  ["float32", 32, "float", 4, "F32"],
  ["float64", 64, "float", 8, "F64"],
  ["float16", 16, "float", 2, "F16"],
  ["bfloat16", 16, "float", 2, "BF16"],
  ["int8", 8, "int", 1, "I8"],
  ["int16", 16, "int", 2, "I16"],
  ["int32", 32, "int", 4, "I32"],
  ["int64", 64, "int", 8, "I64"],
  ["uint8", 8, "uint", 1, "U8"],
  ["uint16", 16, "uint", 2, "U16"],
  ["uint32", 32, "uint", 4, "U32"],
  ["uint64", 64, "uint", 8, "U64"],
  ["bool", 8, "bool", 1, "BOOL"],
  ["complex32", 32, "complex", 2, null],
  ["complex64", 64, "complex", 4, "C64"],
  ["complex128", 128, "complex", 8, null],
  ["float8_e4m3fn", 8, "float", 1, "F8_E4M3"],
  ["float8_e5m2", 8, "float", 1, "F8_E5M2"],
  ["float8_e4m3fnuz", 8, "float", 1, "F8_E4M3FNUZ"],
  ["float8_e5m2fnuz", 8, "float", 1, "F8_E5M2FNUZ"],
  ["float8_e8m0fnu", 8, "float", 1, "F8_E8M0"],
  ["float4_e2m1fn_x2", 8, "bits", 1, "F4"],
  ["float6_e2m3", 6, "bits", 1, "F6_E2M3"],
  ["float6_e3m2", 6, "bits", 1, "F6_E3M2"],
  ["bits8", 8, "bits", 1, null],
  ["bits16", 16, "bits", 2, null],
  ["bits1x8", 8, "bits", 1, null],
  ["bits2x4", 8, "bits", 1, null],
  ["bits4x2", 8, "bits", 1, null],
  ["qint8", 8, "quantised", 1, null],
  ["quint8", 8, "quantised", 1, null],
  ["qint32", 32, "quantised", 4, null],
  ["quint4x2", 4, "quantised", 1, null],
  ["quint2x4", 2, "quantised", 1, null],
] as const;

/** Name of an element type, torch's without `torch.`. */
export type DType = (typeof ROWS)[number][0];

/** Every element type by name. */
export const DTYPES: ReadonlyMap<DType, DTypeTraits> = new Map(
  ROWS.map(([name, bits, kind, swapBytes, safetensors]) => [name, { name, bits, kind, swapBytes, safetensors }]),
);

/**
 * What is known about `dtype`.
 * @throws {TypeError} for a name that is no dtype's; the type system forbids it, untyped callers do not.
 */
export function traitsOf(dtype: DType): DTypeTraits {
  const traits = DTYPES.get(dtype);
  if (!traits) throw new UsageError("RANKCAST_USAGE", `not a dtype: ${describeFound(dtype)}`, { details: { option: "dtype" } });
  return traits;
}

/** Whether `name` is a dtype's name. */
export function isDType(name: string): name is DType {
  return DTYPES.has(name as DType);
}

/** Bytes that `elements` elements of `dtype` need, packed types rounded up to whole bytes. */
export function bytesOf(dtype: DType, elements: number): number {
  const { bits } = traitsOf(dtype);
  return bits % 8 === 0 ? elements * (bits / 8) : Math.ceil((elements * bits) / 8);
}

/** The type of one part of a complex element; the type itself when it is not complex. */
export function componentOf(dtype: DType): DType {
  if (dtype === "complex32") return "float16";
  if (dtype === "complex64") return "float32";
  return dtype === "complex128" ? "float64" : dtype;
}
