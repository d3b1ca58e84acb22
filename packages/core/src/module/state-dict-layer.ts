/**
 * The state dict as one part of the model sees it: the caller's, or edits of a hook on top of what is below. Layers keep edits inside
 * the subtree they belong to and cost nothing where there are none, so a load stays linear in the keys.
 */
import type { ModuleNode, ModuleTree } from "./module-tree.ts";

/** One layer. Values are unknown until they are checked: callers may put anything into a Map. */
export interface StateDictLayer {
  get(key: string): unknown;
  /** Keys that start with `prefix`, in order. */
  keysUnder(prefix: string): string[];
  /** Keys without a place in the model, by the module that has to report them, in order. */
  unplaced(): ReadonlyMap<ModuleNode, readonly string[]>;
}

/** The caller's state dict. */
export class BaseLayer implements StateDictLayer {
  readonly #entries: ReadonlyMap<string, unknown>;
  readonly #tree: ModuleTree;
  #sorted: readonly (readonly [key: string, position: number])[] | undefined;
  #unplaced: Map<ModuleNode, string[]> | undefined;

  constructor(entries: ReadonlyMap<string, unknown>, tree: ModuleTree) {
    this.#entries = entries;
    this.#tree = tree;
  }

  /** Number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): unknown {
    return this.#entries.get(key);
  }

  keysUnder(prefix: string): string[] {
    if (prefix === "") return [...this.#entries.keys()];
    // Sorted once, on the first hook that lists keys: a subtree is then a range, found by bisection.
    this.#sorted ??= [...this.#entries.keys()].map((key, position) => [key, position] as const).sort(([a], [b]) => (a < b ? -1 : 1));
    const range: (readonly [string, number])[] = [];
    for (let at = lowerBound(this.#sorted, prefix); at < this.#sorted.length; at += 1) {
      const entry = this.#sorted[at];
      if (!entry?.[0].startsWith(prefix)) break;
      range.push(entry);
    }
    return range.sort(([, a], [, b]) => a - b).map(([key]) => key);
  }

  unplaced(): ReadonlyMap<ModuleNode, readonly string[]> {
    this.#unplaced ??= placeKeys(this.#entries.keys(), this.#tree, this.#tree.root);
    return this.#unplaced;
  }
}

/** Edits on top of another layer, seen by one module and its descendants. */
export class EditedLayer implements StateDictLayer {
  readonly #below: StateDictLayer;
  readonly #tree: ModuleTree;
  readonly #node: ModuleNode;
  /** Undefined marks an entry as taken away. */
  readonly #edits: Map<string, unknown> = new Map();
  /** Keys that were taken away, if only for a while. */
  readonly #removed: Set<string> = new Set();
  #unplaced: Map<ModuleNode, string[]> | undefined;

  constructor(below: StateDictLayer, tree: ModuleTree, node: ModuleNode) {
    this.#below = below;
    this.#tree = tree;
    this.#node = node;
  }

  get(key: string): unknown {
    return this.#edits.has(key) ? this.#edits.get(key) : this.#below.get(key);
  }

  put(key: string, value: unknown): void {
    // As in a Python dict, a key that is taken away and put back comes last.
    if (value === undefined) this.#removed.add(key);
    if (this.#edits.get(key) === undefined) this.#edits.delete(key);
    this.#edits.set(key, value);
    this.#unplaced = undefined;
  }

  keysUnder(prefix: string): string[] {
    const kept = this.#below.keysUnder(prefix).filter((key) => !this.#removed.has(key));
    for (const [key, value] of this.#edits) {
      const added = this.#removed.has(key) || this.#below.get(key) === undefined;
      if (value !== undefined && added && key.startsWith(prefix)) kept.push(key);
    }
    return kept;
  }

  unplaced(): ReadonlyMap<ModuleNode, readonly string[]> {
    this.#unplaced ??= placeKeys(this.keysUnder(this.#node.prefix), this.#tree, this.#node);
    return this.#unplaced;
  }
}

function lowerBound(sorted: readonly (readonly [string, number])[], prefix: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.[0] ?? "") < prefix) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * For every key that the model does not have: the module that has to report it, which is the deepest one on its path. Keys under a child
 * that is registered as absent belong to its parent (torch reports those nowhere, semantics F4).
 */
function placeKeys(keys: Iterable<string>, tree: ModuleTree, start: ModuleNode): Map<ModuleNode, string[]> {
  const placed = new Map<ModuleNode, string[]>();
  for (const key of keys) {
    if (tree.byKey.has(key)) continue;
    const { node } = deepestNode(start, key);
    const known = placed.get(node);
    if (known) known.push(key);
    else placed.set(node, [key]);
  }
  return placed;
}

/** The last module on a key's path, and what of the key is left there. */
export function deepestNode(start: ModuleNode, key: string): { readonly node: ModuleNode; readonly rest: string } {
  let node = start;
  let at = start.prefix.length;
  for (let dot = key.indexOf(".", at); dot >= 0; dot = key.indexOf(".", at)) {
    const child = node.children.get(key.slice(at, dot));
    if (!child) break;
    node = child;
    at = dot + 1;
  }
  return { node, rest: key.slice(at) };
}
