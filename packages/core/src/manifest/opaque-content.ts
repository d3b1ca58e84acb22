/** What hides inside opaque values: a harmless class may carry a call that attacks use. Reported, never run. */
import { OpaqueValue, TreeDict, TreeList, type TreeValue } from "./checkpoint-tree.ts";

/** Collects dangerous names inside opaque values; each object is looked at once, so the whole search is linear. */
export class DangerousCalls {
  readonly #seen = new Set<TreeValue>();

  /** Names of dangerous calls inside `value`, itself excluded, that no earlier search met. */
  inside(value: OpaqueValue): string[] {
    const found: string[] = [];
    const pending: TreeValue[] = [value];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (next === null || typeof next !== "object" || this.#seen.has(next)) continue;
      this.#seen.add(next);
      if (next instanceof OpaqueValue && next !== value && next.dangerous) found.push(next.global);
      for (const child of contentsOf(next)) pending.push(child);
    }
    return found;
  }
}

function* contentsOf(value: TreeValue): Generator<TreeValue> {
  if (value instanceof TreeList) yield* value.elements;
  else if (value instanceof TreeDict) yield* value.entries.values();
  else if (value instanceof OpaqueValue) {
    yield* value.args;
    yield value.state;
    yield* value.elements;
    for (const [key, entry] of value.entries) {
      yield key;
      yield entry;
    }
  }
}
