/** Tensors inside extra state. */
import { Tensor } from "../tensor/tensor.ts";

/** Every tensor in `values` and in the Maps and arrays inside them, each container looked at once. */
export function extraTensors(values: Iterable<unknown>): Tensor[] {
  const tensors: Tensor[] = [];
  const seen = new Set<unknown>();
  const pending: unknown[] = [...values];
  for (let value = pending.pop(); value !== undefined || pending.length > 0; value = pending.pop()) {
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof Tensor) tensors.push(value);
    else if (value instanceof Map || Array.isArray(value)) for (const each of value.values()) pending.push(each);
  }
  return tensors;
}
