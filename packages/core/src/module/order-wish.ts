/** In which order a model of another library has its weights, so that somebody can bring them into it once for many replicas. */

import type { OrderWish } from "../state-dict/manifest-from-state-dict.ts";
import { isContiguous, isDense } from "../tensor/strides.ts";
import type { Module } from "./module.ts";
import { moduleTree } from "./module-tree.ts";

/** Of the foreign parameters of `module`: those that lie without gaps and not row-major. Advice only. */
export function orderWish(module: Module | null): OrderWish {
  const wish = new Map<string, readonly number[]>();
  if (module === null) return wish;
  for (const [key, { slot }] of moduleTree(module).byKey) {
    if (!slot.isForeign) continue;
    const { held } = slot;
    if (held.shape !== null && isDense(held.shape, held.stride) && !isContiguous(held.shape, held.stride)) wish.set(key, held.stride);
  }
  return wish;
}
