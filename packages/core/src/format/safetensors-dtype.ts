/** Element types as safetensors counts them. Source: `Dtype` in `safetensors/src/tensor.rs`. */
import { DTYPES, type DType } from "../tensor/dtype.ts";

/** One dtype name of a header. */
export interface SafetensorsDType {
  /** Name in the header. */
  readonly name: string;
  readonly dtype: DType;
  /** Bits per element of the header's shape. */
  readonly bits: number;
  /** Elements of the header's shape in one element of `dtype`: torch counts F4 in pairs, safetensors counts single values. */
  readonly packed: 1 | 2;
}

/** Every dtype name a header may have. */
export const SAFETENSORS_DTYPES: ReadonlyMap<string, SafetensorsDType> = new Map(
  [...DTYPES.values()].flatMap(({ name: dtype, bits, safetensors: name }) =>
    name === null ? [] : [[name, name === "F4" ? { name, dtype, bits: bits / 2, packed: 2 } : { name, dtype, bits, packed: 1 }]],
  ),
);
