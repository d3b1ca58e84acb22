/** Finding a value by its dotted path. */
import { TreeDict, TreeList, type TreeValue } from "./checkpoint-tree.ts";
import { isPickledModule, moduleChildren } from "./pickled-module.ts";
import { childPath, keyText } from "./tree-path.ts";

const KEYS_NAMED_MAX = 20;

/** What a path led to. `missing` is the last container that was reached, by the path `reached`. */
export type Resolved = { readonly value: TreeValue } | { readonly missing: TreeValue; readonly reached: string };

/**
 * The value at `path`. Keys may hold dots: the longest key that fits is tried first, shorter ones when it leads nowhere. Goes into dicts,
 * sequences (by position) and pickled modules, not into other objects.
 */
export function resolvePath(root: TreeValue, path: string): Resolved {
  const pending: Step[] = [{ value: root, rest: path, reached: null }];
  let furthest: Step = { value: root, rest: path, reached: null };
  const tried = new Map<TreeValue, Set<string>>();
  for (let step = pending.pop(); step; step = pending.pop()) {
    if (step.rest === null) return { value: step.value };
    if ((step.reached?.length ?? 0) > (furthest.reached?.length ?? 0)) furthest = step;
    const rests = tried.get(step.value) ?? new Set();
    if (rests.has(step.rest)) continue;
    tried.set(step.value, rests.add(step.rest));
    pending.push(...stepsFrom(step, step.rest));
  }
  return { missing: furthest.value, reached: furthest.reached ?? "" };
}

interface Step {
  readonly value: TreeValue;
  /** What is left of the path; null at its end. */
  readonly rest: string | null;
  readonly reached: string | null;
}

/** Children that fit the start of `rest`, the longest key last (it is popped first). */
function stepsFrom({ value, reached }: Step, rest: string): Step[] {
  return [...childrenOf(value)]
    .filter(([key]) => rest === key || rest.startsWith(`${key}.`))
    .sort(([a], [b]) => a.length - b.length)
    .map(([key, child]) => ({ value: child, rest: rest === key ? null : rest.slice(key.length + 1), reached: childPath(reached, key) }));
}

function* childrenOf(value: TreeValue): Generator<readonly [string, TreeValue]> {
  if (value instanceof TreeDict) for (const [key, child] of value.entries) yield [keyText(key), child];
  else if (value instanceof TreeList) yield* value.elements.map((child, index) => [String(index), child] as const);
  else if (isPickledModule(value)) {
    const { keys, values } = moduleChildren(value);
    yield* values.map((child, index) => [keys[index] ?? "", child] as const);
  }
}

/** Values directly inside a dict, sequence or pickled module; none for anything else. */
export function valuesOf(value: TreeValue): Iterable<TreeValue> {
  if (value instanceof TreeDict) return value.entries.values();
  if (value instanceof TreeList) return value.elements;
  return isPickledModule(value) ? moduleChildren(value).values : [];
}

/** The first keys directly inside a value, for messages. */
export function keysOf(value: TreeValue): string[] {
  const keys: string[] = [];
  for (const [key] of childrenOf(value)) {
    if (keys.length === KEYS_NAMED_MAX) break;
    keys.push(key);
  }
  return keys;
}
