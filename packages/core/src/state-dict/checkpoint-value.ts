/** Values of a checkpoint as JavaScript has them. */
import type { ComplexValue, OpaqueValue } from "../manifest/checkpoint-tree.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A value of a loaded checkpoint: plain JavaScript, tensors, and opaque values that were kept and not run. */
export type CheckpointValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Tensor
  | ComplexValue
  | OpaqueValue
  | readonly CheckpointValue[]
  | ReadonlyMap<unknown, CheckpointValue>;
