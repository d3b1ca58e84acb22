/** "Did you mean": the known names closest to an unknown one. */

/** At most `count` of `names`, closest first; only those that differ in at most a third of their characters, or that contain or extend `name`. */
export function nearestNames(name: string, names: Iterable<string>, count = 3): string[] {
  const wanted = name.toLowerCase().slice(0, LENGTH_MAX);
  const ranked: { readonly each: string; readonly distance: number }[] = [];
  for (const each of names) {
    const candidate = each.toLowerCase();
    const related = wanted.length >= 3 && (candidate.includes(wanted) || wanted.includes(candidate));
    const bound = Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) / 3));
    const distance = related ? Math.abs(candidate.length - wanted.length) / 100 : editDistance(wanted, candidate, bound);
    if (distance <= bound) ranked.push({ each, distance });
  }
  ranked.sort((one, other) => one.distance - other.distance);
  return ranked.slice(0, count).map(({ each }) => each);
}

/** Longer names are compared by their beginning: the cost is quadratic and the name comes from outside. */
const LENGTH_MAX = 200;

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment); anything above `bound` comes back as infinity. */
function editDistance(one: string, other: string, bound: number): number {
  if (Math.abs(one.length - other.length) > bound) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const replaced = (last[column - 1] ?? 0) + (one[row - 1] === other[column - 1] ? 0 : 1);
      let best = Math.min(replaced, (last[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      const swapped = row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      if (swapped) best = Math.min(best, (before[column - 2] ?? 0) + 1);
      current.push(best);
    }
    before = last;
    last = current;
  }
  const distance = last[other.length] ?? Number.POSITIVE_INFINITY;
  return distance <= bound ? distance : Number.POSITIVE_INFINITY;
}
