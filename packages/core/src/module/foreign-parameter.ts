/** Parameters of models that another library holds: what an adapter to TensorFlow.js or ONNX Runtime is made of. */
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { metaTensor, Parameter } from "./parameter.ts";
import { markBorrowed } from "./planned-key.ts";
import type { OpenTensor } from "./tensor-slot.ts";

/** One tensor of another library's model, seen as torch would name, shape and order it. */
export interface ForeignTensor {
  /** Element type; loads cast to it. */
  readonly dtype: DType;
  /** Sizes in torch's order. */
  readonly shape: readonly number[];
  /** Identity of the present value: another object or number after the library itself has changed it, by a training step for example. */
  version(): unknown;
  /** The present value: a view of the library's memory where it can be seen, with strides that give torch's order; else a copy. */
  read(): Tensor;
  /**
   * Takes the values of `tensor`, which has this type and shape and any strides. May keep looking at its memory, which nobody writes to
   * any more, but must not write there. Must leave the memory that the last `read` showed as it is, so that a failed load can be taken
   * back. Returns the value as `read` would show it.
   */
  write(tensor: Tensor): Tensor;
}

/** A parameter (or buffer: then it needs no gradient) whose tensor is a `ForeignTensor`. Loads hand the checkpoint's view to it. */
export class ForeignParameter extends Parameter {
  readonly isForeign = true;
  readonly #foreign: ForeignTensor;
  #known: Tensor | undefined;
  #version: unknown;

  /** `requiresGrad` as for any parameter. @throws {UsageError} RANKCAST_USAGE for a gradient of a type that has none. */
  constructor(foreign: ForeignTensor, options: { readonly requiresGrad?: boolean } = {}) {
    super(metaTensor(foreign.dtype, foreign.shape), options);
    this.#foreign = foreign;
  }

  override get held(): Tensor {
    const version = this.#foreign.version();
    if (this.#known === undefined || version !== this.#version) this.#remember(this.#foreign.read());
    return this.#known ?? this.#foreign.read();
  }

  override get tensor(): Tensor {
    return this.held;
  }

  override set tensor(tensor: Tensor) {
    this.replace(tensor);
  }

  override get dtype(): DType {
    return this.#foreign.dtype;
  }

  override get shape(): readonly number[] {
    return this.#foreign.shape;
  }

  override replace(held: Tensor | OpenTensor): void {
    if (held.shape !== null) this.#remember(this.#foreign.write(held));
  }

  /** Never written to by a load: the library decides when its memory changes. */
  #remember(tensor: Tensor): void {
    markBorrowed(tensor);
    this.#known = tensor;
    this.#version = this.#foreign.version();
  }
}
