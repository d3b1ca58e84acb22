/** What a numpy header says about its elements, in terms of tensors. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { dtypeOfNumpyCode } from "../tensor/numpy-dtype-codes.ts";
import { contiguousStrides } from "../tensor/strides.ts";
import { describePlace, type NpyHeader, type NpyPlace } from "./npy-header.ts";

/** An array of numbers. */
export interface NpyArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements; first axis fastest when the file is in Fortran order. */
  readonly stride: readonly number[];
  readonly swapBytes: 1 | 2 | 4 | 8;
  /** Bytes of the elements. */
  readonly nbytes: number;
}

/** The dtype of a numpy type string, and whether its bytes are big-endian; null for anything that is no plain number. */
export function dtypeOfDescr(descr: string | null): { readonly dtype: DType; readonly bigEndian: boolean } | null {
  const match = /^([<>|=]?)(.+)$/.exec(descr ?? "");
  const dtype = dtypeOfNumpyCode(match?.[2] ?? "");
  return dtype === null ? null : { dtype, bigEndian: match?.[1] === ">" };
}

/**
 * The array a header describes.
 * @throws {FormatError} RANKCAST_NPY_DTYPE for elements that are no numbers, RANKCAST_NPY_HEADER for sizes no file can have, RANKCAST_LIMIT.
 */
export function npyArray(header: NpyHeader, place: NpyPlace, limits: Limits): NpyArray {
  const found = dtypeOfDescr(header.descr);
  if (found === null) {
    const descr = header.descr === null ? "a record type" : quote(header.descr);
    throw new FormatError("RANKCAST_NPY_DTYPE", `${describePlace(place)}: the elements are ${descr}`, {
      details: { ...place, descr: header.descr },
    });
  }
  const { shape } = header;
  enforceLimit(limits, "tensorRank", shape.length, place);
  // Numbers may pass 2^53 on the way to a size of 0; the file is refused then, too, because the strides could not be held.
  const nbytes = shape.reduce((product, size) => product * Math.max(size, 1), bytesOf(found.dtype, 1));
  if (!Number.isSafeInteger(nbytes))
    throw new FormatError("RANKCAST_NPY_HEADER", `${describePlace(place)}: shape (${shape}) has more than 2^53 bytes`, {
      details: { ...place, offset: 0, shape },
    });
  return {
    dtype: found.dtype,
    shape,
    stride: header.fortranOrder ? contiguousStrides([...shape].reverse()).reverse() : contiguousStrides(shape),
    swapBytes: found.bigEndian ? traitsOf(found.dtype).swapBytes : 1,
    nbytes: shape.includes(0) ? 0 : nbytes,
  };
}
