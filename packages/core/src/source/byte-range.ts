/** Half-open byte ranges; the text of Range and Content-Range lives here and nowhere else. */

/** Bytes `[begin, end)`. */
export interface ByteRange {
  readonly begin: number;
  readonly end: number;
}

/** The value of a `Range` header (RFC 9110 section 14.2; its last position is inclusive). */
export function rangeHeader(range: ByteRange): string {
  return `bytes=${range.begin}-${range.end - 1}`;
}

/** A parsed `Content-Range`: which bytes of how many. `range` is null in the answer to an unsatisfiable request, `sizeBytes` when the server does not say. */
export interface ContentRange {
  readonly range: ByteRange | null;
  readonly sizeBytes: number | null;
}

/** Parses a `Content-Range` header (RFC 9110 section 14.4). Null when it is absent, malformed or contradicts itself. */
export function parseContentRange(text: string | null): ContentRange | null {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(text?.trim() ?? "");
  if (match === null) return null;
  const sizeBytes = match[3] === "*" ? null : Number(match[3]);
  if (match[1] === undefined) return sizeBytes === null ? null : { range: null, sizeBytes };
  const range = { begin: Number(match[1]), end: Number(match[2]) + 1 };
  const bound = sizeBytes ?? Number.MAX_SAFE_INTEGER;
  return range.begin < range.end && range.end <= bound && Number.isSafeInteger(range.end) ? { range, sizeBytes } : null;
}

/** A set of bytes: sorted, disjoint, never adjacent ranges. */
export class RangeSet {
  #ranges: ByteRange[] = [];

  /** Adds the bytes of a range; linear in the number of ranges that lie behind it. */
  add(added: ByteRange): void {
    if (added.end <= added.begin) return;
    let { begin, end } = added;
    const before = this.#ranges.filter((each) => each.end < begin);
    const after = this.#ranges.filter((each) => each.begin > end);
    for (const each of this.#ranges.slice(before.length, this.#ranges.length - after.length)) {
      begin = Math.min(begin, each.begin);
      end = Math.max(end, each.end);
    }
    this.#ranges = [...before, { begin, end }, ...after];
  }

  /** Empties the set. */
  clear(): void {
    this.#ranges = [];
  }

  /** The ranges, in order. */
  get ranges(): readonly ByteRange[] {
    return this.#ranges;
  }

  /** How many bytes from `offset` on it holds without a gap. */
  bytesAt(offset: number): number {
    const range = this.#ranges.find((each) => each.begin <= offset && offset < each.end);
    return range === undefined ? 0 : range.end - offset;
  }

  /** How many bytes it holds. */
  get sizeBytes(): number {
    return this.#ranges.reduce((sum, each) => sum + each.end - each.begin, 0);
  }

  /** How many bytes from 0 on are there without a gap. */
  get prefixBytes(): number {
    const first = this.#ranges[0];
    return first?.begin === 0 ? first.end : 0;
  }

  /** What of `[0, sizeBytes)` is not there, in order. */
  missing(sizeBytes: number): ByteRange[] {
    const gaps: ByteRange[] = [];
    let position = 0;
    for (const each of this.#ranges) {
      if (each.begin > position) gaps.push({ begin: position, end: Math.min(each.begin, sizeBytes) });
      position = Math.max(position, each.end);
    }
    if (position < sizeBytes) gaps.push({ begin: position, end: sizeBytes });
    return gaps;
  }
}
