/** "Did you mean": missing keys and the unexpected keys that are spelled almost like them. */
import type { NearMiss } from "./replica-report.ts";

/** Pairs in a report; more are noise. */
const PAIRS_MAX = 5;
/** Patterns of missing keys that are looked at, and of unexpected keys each is compared with: bounds the work on totally different models. */
const MISSING_MAX = 16;
const UNEXPECTED_MAX = 256;
/** Names longer than this are compared by nobody. */
const NAME_CHARACTERS_MAX = 200;

/**
 * At most five pairs, each key used once, closest first. Names are pairs when they differ in at most a fifth of their characters (one or
 * two in short names). Of keys that differ in numbers only, the first stands for all.
 */
export function findNearMisses(missing: readonly string[], unexpected: readonly string[]): NearMiss[] {
  const pairs: { missing: string; unexpected: string; distance: number }[] = [];
  const candidates = firstOfEachPattern(unexpected, UNEXPECTED_MAX);
  for (const [pattern, key] of firstOfEachPattern(missing, MISSING_MAX)) {
    for (const [otherPattern, candidate] of candidates) {
      // `layers.3.w` and `layers.4.w` differ by one character and are different layers, not a misspelling.
      if (otherPattern === pattern) continue;
      const length = Math.max(key.length, candidate.length);
      const allowed = Math.max(length < 8 ? 1 : 2, Math.floor(length / 5));
      const distance = editDistance(key, candidate, allowed);
      if (distance <= allowed) pairs.push({ missing: key, unexpected: candidate, distance });
    }
  }
  pairs.sort((a, b) => a.distance - b.distance);
  return pickDisjoint(pairs);
}

function firstOfEachPattern(keys: readonly string[], count: number): Map<string, string> {
  const first = new Map<string, string>();
  for (const key of keys) {
    if (first.size === count) break;
    if (key.length > NAME_CHARACTERS_MAX) continue;
    const pattern = key.replace(/\d+/g, "#");
    if (!first.has(pattern)) first.set(pattern, key);
  }
  return first;
}

function pickDisjoint(pairs: readonly NearMiss[]): NearMiss[] {
  const usedMissing = new Set<string>();
  const usedUnexpected = new Set<string>();
  const picked: NearMiss[] = [];
  for (const pair of pairs) {
    if (picked.length === PAIRS_MAX) break;
    if (usedMissing.has(pair.missing) || usedUnexpected.has(pair.unexpected)) continue;
    usedMissing.add(pair.missing);
    usedUnexpected.add(pair.unexpected);
    picked.push({ missing: pair.missing, unexpected: pair.unexpected });
  }
  return picked;
}

/** Levenshtein distance by rows; stops with `allowed + 1` as soon as the distance must exceed `allowed`. */
function editDistance(a: string, b: string, allowed: number): number {
  if (Math.abs(a.length - b.length) > allowed) return allowed + 1;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    let smallest = row;
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      const distance = Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      current.push(distance);
      smallest = Math.min(smallest, distance);
    }
    if (smallest > allowed) return allowed + 1;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
