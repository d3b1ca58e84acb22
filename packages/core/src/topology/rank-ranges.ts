/** Sets of ranks as people read them. */

/** Ranks as ranges: `3,7-9`. Sorts, drops duplicates; `none` for the empty set. */
export function rankRanges(ranks: Iterable<number>): string {
  const sorted = [...new Set(ranks)].sort((a, b) => a - b);
  const parts: string[] = [];
  let begin = 0;
  for (let at = 1; at <= sorted.length; at += 1) {
    if (at < sorted.length && sorted[at] === (sorted[at - 1] ?? 0) + 1) continue;
    const first = sorted[begin];
    const last = sorted[at - 1];
    if (first !== undefined) parts.push(first === last ? `${first}` : `${first}-${last}`);
    begin = at;
  }
  return parts.length === 0 ? "none" : parts.join(",");
}
