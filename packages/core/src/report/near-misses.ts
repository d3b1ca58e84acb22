/** "Did you mean": missing keys and the unexpected keys that are spelled almost like them. */
import type { NearMiss } from "./replica-report.ts";

/** Pairs in a report; more are noise. */
const PAIRS_MAX = 5;
/** Missing keys that are looked at, and unexpected keys each is compared with: bounds the work on totally different models. */
const MISSING_MAX = 16;
const UNEXPECTED_MAX = 256;
/** Names longer than this are compared by nobody. */
const NAME_CHARACTERS_MAX = 200;

/** At most five pairs, each unexpected key used once, closest first. A pair differs in at most a fifth of its characters. */
export function findNearMisses(missing: readonly string[], unexpected: readonly string[]): NearMiss[] {
  const pairs: { missing: string; unexpected: string; distance: number }[] = [];
  const candidates = unexpected.slice(0, UNEXPECTED_MAX).filter((key) => key.length <= NAME_CHARACTERS_MAX);
  for (const key of missing.slice(0, MISSING_MAX)) {
    if (key.length > NAME_CHARACTERS_MAX) continue;
    const pattern = key.replace(/\d+/g, "#");
    for (const candidate of candidates) {
      // `layers.3.w` and `layers.4.w` differ by one character and are different layers, not a misspelling.
      if (candidate.replace(/\d+/g, "#") === pattern) continue;
      const allowed = Math.max(1, Math.floor(Math.max(key.length, candidate.length) / 5));
      const distance = editDistance(key, candidate, allowed);
      if (distance <= allowed) pairs.push({ missing: key, unexpected: candidate, distance });
    }
  }
  pairs.sort((a, b) => a.distance - b.distance);
  return pickDisjoint(pairs);
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
