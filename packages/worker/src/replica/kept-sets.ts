/**
 * What belongs to sets of segments that updates come in, by layout. An actor may take updates of two layouts in turns (an adapter, then everything): neither
 * must be attached or planned again because the other came in between.
 */

/** A set of segments that was attached for an earlier update. */
export interface KeptSet {
  readonly layout: string;
  /** Null: nothing is kept. */
  readonly set: string | null;
}

/** Those that were used last. */
const LAYOUTS_MAX = 2;
/** Sets of one layout: those of several sources, or of a publisher with slow subscribers. */
const SETS_MAX = 8;

/** See the module comment. */
export class KeptSets<T> {
  readonly #layouts = new Map<string, Map<string, T>>();

  /** What belongs to a set. */
  get({ layout, set }: KeptSet): T | undefined {
    return set === null ? undefined : this.#layouts.get(layout)?.get(set);
  }

  /** What belongs to all sets. */
  values(): T[] {
    return [...this.#layouts.values()].flatMap((sets) => [...sets.values()]);
  }

  /** Remembers a set as the one that was used last; what was not used for longest is forgotten. */
  keep({ layout, set }: KeptSet, value: T): void {
    if (set === null) return;
    const sets = this.#layouts.get(layout) ?? new Map<string, T>();
    putLast(this.#layouts, layout, sets, LAYOUTS_MAX);
    putLast(sets, set, value, SETS_MAX);
  }

  /** Forgets all. */
  clear(): void {
    this.#layouts.clear();
  }
}

function putLast<T>(map: Map<string, T>, key: string, value: T, max: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > max && oldest !== undefined) map.delete(oldest);
}
