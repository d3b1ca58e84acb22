/** Tensors of a checkpoint with their names, in columns: an object for each would be as large as its description. */
import type { TensorRef } from "./checkpoint-tree.ts";

/** One tensor and its dotted name. */
export interface FlatTensor {
  readonly name: string;
  readonly ref: TensorRef;
  /** Part of extra state, and so no entry of the state dict. */
  readonly extra?: true;
}

/** See the module. Reads like a list; its objects are made when they are asked for. */
export class FlatTensors implements Iterable<FlatTensor> {
  length = 0;
  private readonly names: string[];
  private readonly refs: TensorRef[];
  private readonly extras = new Set<number>();

  /** With room for `capacity` tensors: columns that grow leave twice their size behind. More are taken, too. */
  constructor(capacity = 0) {
    this.names = new Array<string>(capacity);
    this.refs = new Array<TensorRef>(capacity);
  }

  /** Adds one at the end. */
  add(name: string, ref: TensorRef, extra: boolean): void {
    if (extra) this.extras.add(this.length);
    this.names[this.length] = name;
    this.refs[this.length] = ref;
    this.length += 1;
  }

  name(index: number): string {
    return this.names[index] as string;
  }

  ref(index: number): TensorRef {
    return this.refs[index] as TensorRef;
  }

  /** Whether the tensor at `index` is part of extra state. */
  isExtra(index: number): boolean {
    return this.extras.size > 0 && this.extras.has(index);
  }

  *[Symbol.iterator](): Iterator<FlatTensor> {
    for (let index = 0; index < this.length; index += 1) {
      const name = this.name(index);
      const ref = this.ref(index);
      yield this.isExtra(index) ? { name, ref, extra: true } : { name, ref };
    }
  }

  /** What `make` makes of each. */
  map<T>(make: (tensor: FlatTensor) => T): T[] {
    return Array.from(this, make);
  }
}
