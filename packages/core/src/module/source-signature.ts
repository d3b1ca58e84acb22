/** What planning looks at in a state dict: keys and descriptions, never values. */
import type { DType } from "../tensor/dtype.ts";
import { sameShape } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { StateDictLike } from "./draft-plan.ts";
import { isPlain, isRewritten } from "./planned-key.ts";

/** Descriptions of a state dict's tensors in order, one array per property because there may be hundreds of thousands. */
export class SourceSignature {
  readonly keys: string[] = [];
  readonly #dtypes: DType[] = [];
  readonly #shapes: (readonly number[])[] = [];
  readonly #strides: (readonly number[])[] = [];
  /** Bit 0: its bytes can be shown as they are; bit 1: it has no bytes; bit 2: they will be others. */
  readonly #flags: number[] = [];

  /** The signature of a state dict, or undefined when it holds something that is no tensor. */
  static of(stateDict: StateDictLike): SourceSignature | undefined {
    const signature = new SourceSignature();
    for (const [key, value] of stateDict as ReadonlyMap<string, unknown>) {
      if (!(value instanceof Tensor)) return undefined;
      signature.#add(key, value);
    }
    return signature;
  }

  #add(key: string, tensor: Tensor): void {
    this.keys.push(key);
    this.#dtypes.push(tensor.dtype);
    this.#shapes.push(tensor.shape);
    this.#strides.push(tensor.stride);
    this.#flags.push(flagsOf(tensor));
  }

  /** The tensors in order when keys and descriptions are the same, else undefined. */
  match(stateDict: StateDictLike): readonly Tensor[] | undefined {
    if (stateDict.size !== this.keys.length) return undefined;
    const tensors: Tensor[] = [];
    for (const [key, value] of stateDict as ReadonlyMap<string, unknown>) {
      if (!(value instanceof Tensor) || this.keys[tensors.length] !== key || !this.#looksLike(tensors.length, value)) return undefined;
      tensors.push(value);
    }
    return tensors;
  }

  #looksLike(at: number, tensor: Tensor): boolean {
    return (
      this.#dtypes[at] === tensor.dtype &&
      sameShape(this.#shapes[at] ?? [], tensor.shape) &&
      sameShape(this.#strides[at] ?? [], tensor.stride) &&
      this.#flags[at] === flagsOf(tensor)
    );
  }
}

function flagsOf(tensor: Tensor): number {
  return (isPlain(tensor) ? 1 : 0) + (tensor.isMeta ? 2 : 0) + (isRewritten(tensor) ? 4 : 0);
}
