/** Numbers of GGUF's types. Source: `docs/gguf.md` of ggml-org/ggml and `gguf-py/gguf/constants.py` of ggml-org/llama.cpp. */
import type { DType } from "../tensor/dtype.ts";

/** Tensor types that are plain elements. */
export const GGML_DTYPES: ReadonlyMap<number, DType> = new Map([
  [0, "float32"],
  [1, "float16"],
  [24, "int8"],
  [25, "int16"],
  [26, "int32"],
  [27, "int64"],
  [28, "float64"],
  [30, "bfloat16"],
]);

/** Tensor types that are blocks of quantised values with their scales: listed, not decoded. */
export const GGML_BLOCK_TYPES: ReadonlyMap<number, string> = new Map([
  [2, "Q4_0"],
  [3, "Q4_1"],
  [6, "Q5_0"],
  [7, "Q5_1"],
  [8, "Q8_0"],
  [9, "Q8_1"],
  [10, "Q2_K"],
  [11, "Q3_K"],
  [12, "Q4_K"],
  [13, "Q5_K"],
  [14, "Q6_K"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
  [40, "NVFP4"],
]);

/** How one metadata value is read. */
export interface GgufScalar {
  readonly bytes: number;
  readonly read: (view: DataView, offset: number, littleEndian: boolean) => number | bigint | boolean;
}

/** Metadata types of a fixed size. Type 8 is text, type 9 an array. */
export const GGUF_SCALARS: ReadonlyMap<number, GgufScalar> = new Map<number, GgufScalar>([
  [0, { bytes: 1, read: (view, at) => view.getUint8(at) }],
  [1, { bytes: 1, read: (view, at) => view.getInt8(at) }],
  [2, { bytes: 2, read: (view, at, little) => view.getUint16(at, little) }],
  [3, { bytes: 2, read: (view, at, little) => view.getInt16(at, little) }],
  [4, { bytes: 4, read: (view, at, little) => view.getUint32(at, little) }],
  [5, { bytes: 4, read: (view, at, little) => view.getInt32(at, little) }],
  [6, { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) }],
  [7, { bytes: 1, read: (view, at) => view.getUint8(at) !== 0 }],
  [10, { bytes: 8, read: (view, at, little) => view.getBigUint64(at, little) }],
  [11, { bytes: 8, read: (view, at, little) => view.getBigInt64(at, little) }],
  [12, { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) }],
]);
/** Length-prefixed text. */
export const GGUF_TEXT = 8;
/** Element type, count, elements. */
export const GGUF_ARRAY = 9;
