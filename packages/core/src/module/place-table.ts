/** A table by place in memory: where a tensor's first element lies. Equal views have equal places, whichever objects describe them. */
import { bytesOf } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { OpenTensor } from "./tensor-slot.ts";

/**
 * Values by place. Cheap both for models whose tensors have a buffer each and for models that live in one buffer: a buffer gets a table of
 * its own only when a second place in it turns up.
 */
export class PlaceTable<T> {
  readonly #first: Map<object, { readonly begin: number; readonly values: T[] }> = new Map();
  readonly #crowded: Map<object, Map<number, T[]>> = new Map();

  /** Values at the tensor's place, to read and to extend; made empty when there were none. */
  at(held: Tensor | OpenTensor): T[] {
    const memory = memoryOf(held);
    const begin = beginOf(held);
    const first = this.#first.get(memory);
    if (first === undefined) {
      const values: T[] = [];
      this.#first.set(memory, { begin, values });
      return values;
    }
    if (first.begin === begin) return first.values;
    const others = this.#crowded.get(memory) ?? new Map<number, T[]>();
    this.#crowded.set(memory, others);
    const known = others.get(begin) ?? [];
    others.set(begin, known);
    return known;
  }
}

/** Whether no two of them share memory: most models, and then there is nothing to look up. */
export function haveOwnMemory(held: readonly (Tensor | OpenTensor)[]): boolean {
  return new Set(held.map(memoryOf)).size === held.length;
}

/** Tensors with different memory have no element in common; without bytes the storage object stands for the memory. */
function memoryOf(held: Tensor | OpenTensor): object {
  return held instanceof Tensor ? (held.storage.buffer ?? held.storage) : held;
}

function beginOf(held: Tensor | OpenTensor): number {
  return held instanceof Tensor ? held.storage.byteOffset + bytesOf(held.dtype, held.storageOffset) : 0;
}
