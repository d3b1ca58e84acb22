/** Case as CPython's `re` sees it: one character to one character. */

/**
 * Lowercase letters that share an uppercase one, so that Python's `(?i)` takes them for equal (CPython computes the same table from the Unicode
 * database, `Lib/re/_casefix.py`).
 */
const SHARED_UPPERCASE: readonly (readonly number[])[] = [
  [0x69, 0x131],
  [0x73, 0x17f],
  [0xb5, 0x3bc],
  [0x345, 0x3b9, 0x1fbe],
  [0x390, 0x1fd3],
  [0x3b0, 0x1fe3],
  [0x3b2, 0x3d0],
  [0x3b5, 0x3f5],
  [0x3b8, 0x3d1],
  [0x3ba, 0x3f0],
  [0x3c0, 0x3d6],
  [0x3c1, 0x3f1],
  [0x3c2, 0x3c3],
  [0x3c6, 0x3d5],
  [0x432, 0x1c80],
  [0x434, 0x1c81],
  [0x43e, 0x1c82],
  [0x441, 0x1c83],
  [0x442, 0x1c84, 0x1c85],
  [0x44a, 0x1c86],
  [0x463, 0x1c87],
  [0x1c88, 0xa64b],
  [0x1e61, 0x1e9b],
  [0xfb05, 0xfb06],
];

const EQUALS: ReadonlyMap<number, readonly number[]> = new Map(
  SHARED_UPPERCASE.flatMap((group) => group.map((code) => [code, group.filter((other) => other !== code)] as const)),
);

/** The lowercase of a code point, by Unicode's simple mapping; with `ascii` only A to Z have one. */
export function lowerCase(code: number, ascii: boolean): number {
  if (code < 0x80) return code >= 0x41 && code <= 0x5a ? code + 0x20 : code;
  if (ascii) return code;
  // The one character whose full lowercase is longer than its simple one, which is i.
  if (code === 0x130) return 0x69;
  return singleOr(code, String.fromCodePoint(code).toLowerCase());
}

/** The uppercase of a code point when that is one character, else the code point itself. */
export function upperCase(code: number): number {
  return singleOr(code, String.fromCodePoint(code).toUpperCase());
}

/** Other lowercase letters that a lowercase letter equals when case is ignored. */
export function equalsOf(lower: number): readonly number[] {
  return EQUALS.get(lower) ?? [];
}

/** Characters beyond ASCII that are equal to ASCII letters when case is ignored: dotted and dotless i, Kelvin, long s. */
const BEYOND_ASCII: ReadonlyMap<number, readonly number[]> = new Map([
  [0x69, [0x130, 0x131]],
  [0x6b, [0x212a]],
  [0x73, [0x17f]],
]);

/** What the letters of a range of ASCII characters equal when case is ignored, beside themselves; undefined for ranges that go further. */
export function foldedAscii(first: number, last: number, ascii: boolean): readonly number[] | undefined {
  if (last >= 0x80) return undefined;
  const folded: number[] = [];
  for (let code = first; code <= last; code += 1) {
    if (!isCased(code, true)) continue;
    const lower = lowerCase(code, true);
    folded.push(lower, lower - 0x20, ...((ascii ? undefined : BEYOND_ASCII.get(lower)) ?? []));
  }
  return folded;
}

/** Whether a code point has another case, be that one of several characters (the uppercase of ß is SS). */
export function isCased(code: number, ascii: boolean): boolean {
  if (code < 0x80 || ascii) return (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
  const character = String.fromCodePoint(code);
  return character.toLowerCase() !== character || character.toUpperCase() !== character;
}

function singleOr(code: number, mapped: string): number {
  const first = mapped.codePointAt(0) ?? code;
  return mapped.length === (first > 0xffff ? 2 : 1) ? first : code;
}
