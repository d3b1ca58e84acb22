/** Weights as plain typed arrays under names: what programs without a model library have. */
import { type DType, Tensor, type TensorArray } from "@rankcast/core";

/** One tensor, row-major without gaps. */
export interface TensorMapEntry {
  /** Its elements; raw `Uint16Array` for float16 and bfloat16, `BigInt64Array` for int64. */
  readonly data: TensorArray;
  readonly shape: readonly number[];
  /** What the kind of array says when absent; needed for float16, bfloat16 and bool. */
  readonly dtype?: DType;
}

/** Tensors under their names in the state dict. A Map, because names come from files. */
export type TensorMap = ReadonlyMap<string, TensorMapEntry>;

/**
 * The entry as a tensor over the same memory.
 * @throws {TensorError} RANKCAST_TENSOR_BOUNDS or RANKCAST_TENSOR_SHAPE when array and shape do not fit, RANKCAST_TENSOR_DTYPE when the kind of array says no type.
 */
export function tensorOf({ data, shape, dtype }: TensorMapEntry): Tensor {
  return Tensor.from(data, shape, dtype === undefined ? {} : { dtype });
}
