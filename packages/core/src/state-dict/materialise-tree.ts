/** Decoded trees with their tensor references replaced by tensors. */
import { SparseRef, StorageRef, TensorRef, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CheckpointValue } from "./checkpoint-value.ts";

/**
 * Plain JavaScript values: dicts become Maps (keys stay what they were; tuples keep their `KeyTuple`), sequences arrays, sparse tensors Maps of
 * their parts, bare storages null. Opaque values stay. Shared and cyclic containers stay shared and cyclic, from one tree to the other, too.
 */
export function materialiseAll(roots: readonly TreeValue[], tensors: ReadonlyMap<TensorRef, Tensor>): CheckpointValue[] {
  const made = new Map<object, CheckpointValue>();
  // Containers are made first and filled from a list: nesting is untrusted, so there is no recursion.
  const unfilled: (() => void)[] = [];
  const convert = (value: TreeValue): CheckpointValue => {
    if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
    const known = made.get(value);
    if (known !== undefined) return known;
    const converted = convertObject(value);
    made.set(value, converted);
    return converted;
  };
  const convertObject = (value: Exclude<TreeValue, null | boolean | number | bigint | string | Uint8Array>): CheckpointValue => {
    if (value instanceof TensorRef) return tensors.get(value) ?? null;
    if (value instanceof StorageRef) return null;
    if (value instanceof SparseRef) return new Map([...value.parts].map(([name, part]) => [name, tensors.get(part) ?? null]));
    if (value instanceof TreeDict) {
      const map = new Map<unknown, CheckpointValue>();
      unfilled.push(() => {
        for (const [key, entry] of value.entries) map.set(key, convert(entry));
      });
      return map;
    }
    if (value instanceof TreeList) {
      const list: CheckpointValue[] = [];
      unfilled.push(() => {
        for (const element of value.elements) list.push(convert(element));
      });
      return list;
    }
    return value;
  };
  const results = roots.map(convert);
  for (let fill = unfilled.pop(); fill; fill = unfilled.pop()) fill();
  return results;
}
