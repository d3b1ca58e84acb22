/** Key rewriting with plain patterns. To be replaced as a whole by the translator of Python's `re` (this file's names and types stay). */
import { StateDict } from "../tensor/state-dict.ts";

/** Rewrites in order: pattern and replacement. */
export type RevKeys = readonly (readonly [pattern: string, replacement: string])[];

const DEFAULT_REV_KEYS: RevKeys = [["^module\\.", ""]];

/** The state dict under its new names, and how many changed. Tensors are shared, not copied. */
export function reviseKeys(stateDict: StateDict, revKeys: RevKeys = DEFAULT_REV_KEYS): { stateDict: StateDict; renamed: number } {
  const rules = revKeys.map(([pattern, replacement]) => [new RegExp(pattern, "gu"), replacement] as const);
  const revised = new StateDict();
  let renamed = 0;
  for (const [name, tensor] of stateDict) {
    const next = rules.reduce((key, [pattern, replacement]) => key.replace(pattern, () => replacement), name);
    if (next !== name) renamed += 1;
    revised.set(next, tensor);
  }
  revised.metadata = stateDict.metadata;
  return { stateDict: revised, renamed };
}
