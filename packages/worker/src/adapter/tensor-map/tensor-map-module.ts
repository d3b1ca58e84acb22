/** A model that is nothing but named typed arrays. */
import { type DType, Parameter, type TensorArray } from "@rankcast/core";
import { KeyedModule } from "@rankcast/core/runtime";
import { type TensorMapEntry, tensorOf } from "./tensor-map.ts";

/** What a weight is declared as: with its array, or by type and shape alone. */
type DeclaredEntry = TensorMapEntry | { readonly shape: readonly number[]; readonly dtype: DType };

/**
 * A module over plain arrays. Entries that come with an array keep it: loads write into it. Entries that are only declared look at the
 * loaded weights themselves, without a copy: ask `weights` again after each load.
 */
export class TensorMapModule extends KeyedModule {
  /** The arrays as they are now, under their names in the state dict. */
  readonly weights: ReadonlyMap<string, TensorMapEntry>;

  /**
   * @throws {TensorError} RANKCAST_TENSOR_BOUNDS or RANKCAST_TENSOR_SHAPE when an array and its shape do not fit.
   */
  constructor(entries: Iterable<readonly [name: string, entry: DeclaredEntry]>) {
    super("TensorMapModule");
    const weights = new Map<string, TensorMapEntry>();
    for (const [key, entry] of entries) {
      const options = { requiresGrad: false };
      const parameter = "data" in entry ? new Parameter(tensorOf(entry), options) : Parameter.meta(entry.dtype, entry.shape, options);
      const [owner, name] = this.ownerOf(key);
      owner.registerParameter(name, parameter);
      weights.set(key, new LiveEntry(parameter));
    }
    this.weights = weights;
  }
}

/** Follows a parameter; the array is made once per load. */
class LiveEntry implements TensorMapEntry {
  readonly #parameter: Parameter;
  #shown: { readonly tensor: unknown; readonly data: TensorArray } | undefined;

  constructor(parameter: Parameter) {
    this.#parameter = parameter;
  }

  get data(): TensorArray {
    const { tensor } = this.#parameter;
    if (this.#shown?.tensor !== tensor) this.#shown = { tensor, data: tensor.contiguous().data };
    return this.#shown.data;
  }

  get shape(): readonly number[] {
    return this.#parameter.tensor.shape;
  }

  get dtype(): DType {
    return this.#parameter.dtype;
  }
}
