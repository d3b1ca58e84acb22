/** Whether tensors are somewhere below a value. */
import { SparseRef, TensorRef, type TreeValue } from "./checkpoint-tree.ts";
import { valuesOf } from "./tree-lookup.ts";

/** Whether a listing of `root` would hold a tensor. Iterative, each container once. */
export function holdsTensor(root: TreeValue): boolean {
  const seen = new Set<TreeValue>();
  const pending: TreeValue[] = [root];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value instanceof TensorRef || value instanceof SparseRef) return true;
    if (value === null || typeof value !== "object" || seen.has(value)) continue;
    seen.add(value);
    for (const child of valuesOf(value)) pending.push(child);
  }
  return false;
}
