/** Names that look at the same bytes. */
import type { StateDictManifest } from "./manifest.ts";

/** Groups of two or more names on one storage, groups and names in checkpoint order. Storages of no bytes alias nothing. */
export function aliasesOf({ tensors, storages }: Pick<StateDictManifest, "tensors" | "storages">): string[][] {
  const groups = new Map<number, string[]>();
  for (const { name, storage } of tensors) {
    if (storages[storage]?.nbytes === 0) continue;
    const group = groups.get(storage);
    if (group) group.push(name);
    else groups.set(storage, [name]);
  }
  return [...groups.values()].filter((names) => names.length > 1);
}
