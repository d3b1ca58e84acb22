/**
 * What a replica's weights are made of: the last load that gave it every name, and the loads of some names since, oldest first. Whoever takes a load
 * back, owns memory or says which memory is still in use needs all of them.
 */
import type { ReplicaReport } from "@rankcast/core";

/** One load or update of the model's names. */
export interface WeightLayer<T> {
  readonly of: T;
  /** Names of the model that it left as they were. */
  readonly notGiven: ReadonlySet<string>;
}

/** The layers with one more on top, without those of which it and the others leave nothing to be seen. */
export function layOver<T>(layers: readonly WeightLayer<T>[], top: WeightLayer<T>): readonly WeightLayer<T>[] {
  const kept = [top];
  let bare = [...top.notGiven];
  for (const layer of [...layers].reverse()) {
    if (bare.every((name) => layer.notGiven.has(name))) continue;
    kept.push(layer);
    bare = bare.filter((name) => layer.notGiven.has(name));
  }
  return kept.reverse();
}

/** The names of the model that a load left as they were. */
export function namesNotGiven({ missing, mismatched, ignoredKeys }: ReplicaReport): ReadonlySet<string> {
  const ignored = ignoredKeys.flatMap(({ key, kind }) => (kind === "unexpected" ? [] : [key]));
  return new Set([...missing, ...mismatched.map(({ key }) => key), ...ignored]);
}
