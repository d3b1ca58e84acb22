/**
 * Folding many keys into few lines without saying anything untrue: `layers.{0-11}.attn.weight` stands for exactly those twelve keys.
 * Only the index parts (whole decimal components between dots) fold, and only to full products of index sets.
 */

/** One line for one or more keys. */
export interface KeyGroup {
  /** The folded name. */
  readonly name: string;
  /** How many keys it stands for. */
  readonly count: number;
}

/** Canonical decimal only: `007` is a name, not an index, and larger numbers would lose digits. */
const INDEX = /^(?:0|[1-9]\d{0,14})$/;

/** A product of index sets, one set per index position of a name. */
type Box = readonly (readonly number[])[];

interface Template {
  /** Components; null where an index stands. */
  readonly parts: readonly (string | null)[];
  readonly points: number[][];
}

/**
 * Groups that together stand for exactly `keys` (repeated keys count once), ordered by the first key of each name pattern.
 * Time is linear in the text for any fixed number of index positions.
 */
export function groupKeys(keys: Iterable<string>): KeyGroup[] {
  const templates = new Map<string, Template>();
  for (const key of new Set(keys)) addKey(templates, key);
  const groups: KeyGroup[] = [];
  for (const { parts, points } of templates.values()) {
    for (const box of foldPoints(points)) {
      groups.push({ name: renderBox(parts, box), count: box.reduce((product, set) => product * set.length, 1) });
    }
  }
  return groups;
}

function addKey(templates: Map<string, Template>, key: string): void {
  const components = key.split(".");
  const parts = components.map((part) => (INDEX.test(part) ? null : part));
  // JSON keeps the pattern injective whatever characters the names hold.
  const pattern = parts.includes(null) ? JSON.stringify(parts) : key;
  const point = components.filter((part) => INDEX.test(part)).map(Number);
  const known = templates.get(pattern);
  if (known) known.points.push(point);
  else templates.set(pattern, { parts, points: [point] });
}

/** Merges boxes that differ in one position only, position by position, last first: the innermost index usually repeats. */
function foldPoints(points: readonly number[][]): Box[] {
  const positions = points[0]?.length ?? 0;
  let boxes: Box[] = points.map((point) => point.map((index) => [index]));
  for (let position = positions - 1; position >= 0; position -= 1) boxes = mergeAt(boxes, position);
  return boxes;
}

function mergeAt(boxes: readonly Box[], position: number): Box[] {
  const merged = new Map<string, { readonly box: Box; readonly indices: number[] }>();
  for (const box of boxes) {
    const rest = JSON.stringify(box.map((set, at) => (at === position ? null : set)));
    const known = merged.get(rest);
    const indices = box[position] ?? [];
    if (known) known.indices.push(...indices);
    else merged.set(rest, { box, indices: [...indices] });
  }
  return [...merged.values()].map(({ box, indices }) => box.map((set, at) => (at === position ? indices.sort((a, b) => a - b) : set)));
}

function renderBox(parts: readonly (string | null)[], box: Box): string {
  let position = 0;
  return parts.map((part) => part ?? renderIndices(box[position++] ?? [])).join(".");
}

/** `3` for one index, `{0-3,7}` for several. */
function renderIndices(indices: readonly number[]): string {
  if (indices.length === 1) return String(indices[0]);
  const runs: [number, number][] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && index === last[1] + 1) last[1] = index;
    else runs.push([index, index]);
  }
  return `{${runs.map(([first, last]) => (first === last ? first : last === first + 1 ? `${first},${last}` : `${first}-${last}`)).join(",")}}`;
}
