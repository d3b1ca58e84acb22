/** A variable of TensorFlow.js as a tensor in torch's order. */
import { type DType, type ForeignTensor, type StateDict, Storage, Tensor, UsageError } from "@rankcast/core";
import { copyInto } from "@rankcast/core/runtime";
import { type TfjsLayout, viewOf, type WeightView } from "./layout.ts";
import { moveSharers, seesMemory, sharersOf, type TfjsArray, type TfjsTensor, withTensor } from "./tfjs-library.ts";

/** A place that holds a tensor: a variable, or a layer's weight. */
export interface TfjsPlace {
  /** For messages. */
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly (number | null)[];
  /** The tensor that is in it now. */
  read(): TfjsTensor;
  /** Puts the values of a tensor in it; the tensor itself belongs to the caller. */
  write(tensor: TfjsTensor): void;
}

/** Tensors that state dicts show of models: their memory changes with the model, so another model may copy it but not look at it. */
const SHOWN = new WeakSet<Tensor>();

/** The state dict of a model, its tensors marked as what they are: views of living memory. */
export function showStateDict(stateDict: StateDict): StateDict {
  for (const [name, tensor] of stateDict) {
    const shown = new Tensor({ ...tensor });
    SHOWN.add(shown);
    stateDict.set(name, shown);
  }
  return stateDict;
}

/** Memory that was written and given to the library, and under which name it knows it. */
interface GivenMemory {
  readonly dataId: object;
  readonly values: TfjsArray;
}

/**
 * Weights that lie as the library wants them are handed over as they are: the variable looks at the loaded memory itself. Those are weights
 * that both libraries order alike, and whatever another TensorFlow.js model has published, and what a collective update has brought into the library's order (ADR 13). Others are put in order once, into one of two arrays in turn, so that an update allocates nothing and the last value survives a load that fails. Memory
 * that the program shares with something else (a target network that was assigned the variable) is left to it: an array is not used again, and
 * loaded memory, which a later update writes to, is copied for it.
 */
export class ForeignVariable implements ForeignTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly #place: TfjsPlace;
  readonly #view: WeightView;
  #given: GivenMemory | undefined;
  #spare: TfjsArray | undefined;
  /** Loaded memory that the library was last given. */
  #lent: object | undefined;

  /** @throws {UsageError} RANKCAST_ADAPTER_LAYER when type or layout do not fit the variable. */
  constructor(place: TfjsPlace, layout: TfjsLayout) {
    const shape = place.shape.map((size) => size ?? -1);
    const view = viewOf(layout, shape);
    if (view === undefined || !isDtype(place.dtype)) {
      throw new UsageError(
        "RANKCAST_ADAPTER_LAYER",
        `${place.name}: ${place.dtype} [${shape}] cannot have the layout ${JSON.stringify(layout)}`,
        {
          details: { weight: place.name, shape },
        },
      );
    }
    this.#place = place;
    this.#view = view;
    this.dtype = place.dtype;
    this.shape = view.shape;
  }

  version(): unknown {
    return this.#place.read().dataId;
  }

  read(): Tensor {
    const values = this.#place.read().dataSync() as TfjsArray;
    const { shape, viewShape } = this.#view;
    const view = this.#over(values);
    // Taken apart, the view has more axes than torch's tensor: only a copy has its order.
    return shape === viewShape ? view : new Tensor({ dtype: this.dtype, shape, storage: view.contiguous().storage });
  }

  write(tensor: Tensor): Tensor {
    this.#callBack();
    if (this.#liesInOrder(tensor)) {
      this.#assign(tensor.data as TfjsArray);
      this.#lent = seesMemory() ? this.#place.read().dataId : undefined;
      this.#given = undefined;
      this.#spare = undefined;
      return tensor;
    }
    const values = this.#takeArray(tensor.elementCount);
    copyInto(this.#over(values), this.#takeApart(tensor));
    const retired = this.#retirable();
    this.#assign(values);
    // Elsewhere the library may still be reading what it was given, so nothing is used twice.
    if (!seesMemory()) return tensor;
    this.#given = { dataId: this.#place.read().dataId, values };
    this.#spare = retired;
    return this.#view.shape === this.#view.viewShape ? this.#over(values) : tensor;
  }

  /** Whether the tensor's elements are in the library's order, so that its memory can be given as it is. */
  #liesInOrder(tensor: Tensor): boolean {
    const { shape, viewShape, viewStride } = this.#view;
    if (SHOWN.has(tensor) || shape !== viewShape || tensor.conj || tensor.neg) return false;
    const aligned = this.dtype === "bool" || tensor.storage.byteOffset % 4 === 0;
    return aligned && viewStride.every((step, axis) => step === tensor.stride[axis] || shape[axis] === 1);
  }

  #assign(values: TfjsArray): void {
    const { shape, dtype } = this.#place;
    withTensor(values, shape as number[], dtype as TfjsTensor["dtype"], (tensor) => this.#place.write(tensor));
  }

  /** The memory of the last load is written to by the load after this one: nobody but the place itself may look at it then. */
  #callBack(): void {
    const lent = this.#lent;
    this.#lent = undefined;
    if (lent === undefined || !seesMemory()) return;
    if (sharersOf(lent) > (this.#place.read().dataId === lent ? 1 : 0)) moveSharers(lent);
  }

  #over(values: TfjsArray): Tensor {
    const { viewShape, viewStride } = this.#view;
    const storage = new Storage(values.buffer, values.byteOffset, values.byteLength);
    return new Tensor({ dtype: this.dtype, shape: viewShape, stride: viewStride, storage });
  }

  #takeApart(tensor: Tensor): Tensor {
    const { shape, viewShape } = this.#view;
    if (shape === viewShape) return tensor;
    const { dtype, storage, storageOffset } = tensor.contiguous();
    return new Tensor({ dtype, shape: viewShape, storage, storageOffset });
  }

  #takeArray(length: number): TfjsArray {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare?.length === length) return spare;
    return this.dtype === "float32" ? new Float32Array(length) : this.dtype === "int32" ? new Int32Array(length) : new Uint8Array(length);
  }

  /** The array that is in the place now, when it is ours and nobody else looks at it. */
  #retirable(): TfjsArray | undefined {
    const now = this.#place.read();
    return this.#given?.dataId === now.dataId && seesMemory() && sharersOf(now.dataId) === 1 ? this.#given.values : undefined;
  }
}

function isDtype(dtype: string): dtype is "float32" | "int32" | "bool" {
  return dtype === "float32" || dtype === "int32" || dtype === "bool";
}
