/** A trainable tensor of a module. */
import { StateDictError, UsageError } from "../errors/checkpoint-error.ts";
import { COUNTS, type OptionShape, requireArgument } from "../errors/require-options.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { Storage } from "../tensor/storage.ts";
import { contiguousStrides, elementCount, elementSpan } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { OpenTensor, TensorSlot } from "./tensor-slot.ts";

const HELD: OptionShape = { expected: "a Tensor", fits: (value) => typeof value === "object" && value !== null && "dtype" in value };

/**
 * A tensor that a module owns and may exchange for another: loading either writes into the tensor or puts a view of the checkpoint's
 * memory in its place. The same `Parameter` under several names is a tied weight. Whether it is trained belongs to the parameter, never
 * to the checkpoint (semantics F12).
 */
export class Parameter implements TensorSlot {
  #held: Tensor | OpenTensor;
  #requiresGrad: boolean;

  /**
   * `requiresGrad` defaults to true, to false for types that have no gradient.
   * @throws {UsageError} RANKCAST_USAGE when a gradient is asked for a type that is neither floating point nor complex.
   */
  constructor(tensor: Tensor | OpenTensor, options: { readonly requiresGrad?: boolean } = {}) {
    requireArgument("tensor", tensor, HELD);
    this.#held = tensor;
    this.#requiresGrad = options.requiresGrad ?? hasGradient(tensor.dtype);
    if (this.#requiresGrad) requireGradientType(tensor.dtype);
  }

  /**
   * A parameter without memory. The first load gives it the checkpoint's memory; a null shape is decided then, too.
   * @throws {UsageError} RANKCAST_USAGE for a gradient of a type that has none.
   */
  static meta(dtype: DType, shape: readonly number[] | null, options: { readonly requiresGrad?: boolean } = {}): Parameter {
    if (shape !== null) requireArgument("shape", shape, COUNTS);
    return new Parameter(shape === null ? { dtype, shape } : metaTensor(dtype, shape), options);
  }

  /**
   * The tensor as it is now; ask again after a load.
   * @throws {StateDictError} RANKCAST_PARAMETER_OPEN while the shape is open.
   */
  get tensor(): Tensor {
    const held = this.#held;
    if (held.shape === null) {
      throw new StateDictError(
        "RANKCAST_PARAMETER_OPEN",
        "Can't access the shape of an uninitialized parameter or buffer. Its shape is decided by the first load.",
        { details: { dtype: held.dtype } },
      );
    }
    return held;
  }

  set tensor(tensor: Tensor) {
    this.#held = tensor;
  }

  /**
   * Whether it is trained. Loading never changes it.
   * @throws {UsageError} RANKCAST_USAGE when set for a type that has no gradient.
   */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  set requiresGrad(requiresGrad: boolean) {
    if (requiresGrad) requireGradientType(this.dtype);
    this.#requiresGrad = requiresGrad;
  }

  get dtype(): DType {
    return this.#held.dtype;
  }

  get shape(): readonly number[] | null {
    return this.#held.shape;
  }

  get held(): Tensor | OpenTensor {
    return this.#held;
  }

  replace(held: Tensor | OpenTensor): void {
    this.#held = held;
  }
}

/** Whether values of a type can be trained. */
export function hasGradient(dtype: DType): boolean {
  const { kind } = traitsOf(dtype);
  return kind === "float" || kind === "complex";
}

function requireGradientType(dtype: DType): void {
  if (hasGradient(dtype)) return;
  throw new UsageError("RANKCAST_USAGE", `only floating point and complex parameters can require gradients, not ${dtype}`, {
    details: { option: "requiresGrad", dtype },
  });
}

/** A tensor without bytes; `stride` as given, else row-major. */
export function metaTensor(dtype: DType, shape: readonly number[], stride: readonly number[] = contiguousStrides(shape)): Tensor {
  const elements = elementCount(shape) === 0 ? 0 : elementSpan(shape, stride);
  return new Tensor({ dtype, shape, stride, storage: new Storage(null, 0, bytesOf(dtype, elements)) });
}
