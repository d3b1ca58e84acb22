/** Type codes of numpy, as its array files and its pickles write them. Source: numpy.lib.format, numpy.dtype.str. */
import type { DType } from "./dtype.ts";

const DTYPES_BY_CODE: ReadonlyMap<string, DType> = new Map([
  ["f2", "float16"],
  ["f4", "float32"],
  ["f8", "float64"],
  ["i1", "int8"],
  ["i2", "int16"],
  ["i4", "int32"],
  ["i8", "int64"],
  ["u1", "uint8"],
  ["u2", "uint16"],
  ["u4", "uint32"],
  ["u8", "uint64"],
  ["b1", "bool"],
  ["?", "bool"],
  ["c8", "complex64"],
  ["c16", "complex128"],
]);

/** The dtype of a numpy type code without its byte order (`f4`, `b1`, `c16`); null for text, objects, dates and structures. */
export function dtypeOfNumpyCode(code: string): DType | null {
  return DTYPES_BY_CODE.get(code) ?? null;
}
