/** Which floating point type a load would have to make new tensors of, so that somebody can make them once for many replicas. */
import type { DType } from "../tensor/dtype.ts";
import { isDType, traitsOf } from "../tensor/dtype.ts";
import type { LoadStateDictOptions } from "./load-options.ts";
import type { Module } from "./module.ts";
import { moduleTree } from "./module-tree.ts";
import { ownsMemory } from "./planned-key.ts";

/**
 * The one type of all floating point tensors that a load into `module` would replace, null when there are several or none. A module that does
 * not exist yet (null) takes the checkpoint's own types, unless `options.dtype` names one. Advice only.
 */
export function castWish(module: Module | null, { dtype = "cast", assign = "auto" }: LoadStateDictOptions): DType | null {
  if (dtype === "keep" || dtype === "error" || assign === "never") return null;
  const asked = isDType(dtype) ? dtype : null;
  if (module === null) return asked;
  let wish: DType | null = null;
  for (const { locals } of moduleTree(module).nodes) {
    for (const { slot } of locals) {
      if (slot.isForeign || ownsMemory(slot.held) || traitsOf(slot.held.dtype).kind !== "float") continue;
      const wanted = asked ?? slot.held.dtype;
      if (wish !== null && wish !== wanted) return null;
      wish = wanted;
    }
  }
  return wish;
}
