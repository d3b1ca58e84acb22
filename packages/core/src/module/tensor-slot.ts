/** A place in a module that holds a replaceable tensor: what parameters and buffers have in common. */
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A declared element type whose shape the first load decides. */
export interface OpenTensor {
  readonly dtype: DType;
  readonly shape: null;
}

/** What loading needs of a parameter or buffer. */
export interface TensorSlot {
  readonly dtype: DType;
  /** Null while the shape is open. */
  readonly shape: readonly number[] | null;
  /** The tensor, or the declaration of one whose shape is open. */
  readonly held: Tensor | OpenTensor;
  /** Whether the tensor is trained: then its type must have a gradient. */
  readonly requiresGrad: boolean;
  /** Whether another library holds the tensor: it takes any layout, since it makes its own of it, and keeps its element type. */
  readonly isForeign?: boolean;
  /** Puts another tensor, or a declaration, in the place. */
  replace(held: Tensor | OpenTensor): void;
}

/** A buffer's place in its module. */
export class BufferSlot implements TensorSlot {
  #held: Tensor;
  readonly requiresGrad = false;
  /** Whether the buffer belongs to the state dict. */
  readonly persistent: boolean;

  constructor(tensor: Tensor, persistent: boolean) {
    this.#held = tensor;
    this.persistent = persistent;
  }

  get dtype(): DType {
    return this.#held.dtype;
  }

  get shape(): readonly number[] {
    return this.#held.shape;
  }

  get held(): Tensor {
    return this.#held;
  }

  replace(held: Tensor): void {
    this.#held = held;
  }
}
