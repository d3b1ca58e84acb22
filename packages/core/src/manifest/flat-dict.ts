/** The state dict of nearly every file: one dict of tensors by name, nothing nested. It needs no survey: nothing is shared, repeated or a cycle. */
import { TensorRef, TreeDict, type TreeKey, type TreeValue } from "./checkpoint-tree.ts";

/** Whether `value` is a dict whose keys are all text and whose values are all tensors. */
export function isFlatDict(value: TreeValue): value is TreeDict {
  if (!(value instanceof TreeDict)) return false;
  let flat = true;
  // forEach makes no pair per entry.
  value.entries.forEach((entry: TreeValue, key: TreeKey) => {
    if (typeof key !== "string" || !(entry instanceof TensorRef)) flat = false;
  });
  return flat;
}
