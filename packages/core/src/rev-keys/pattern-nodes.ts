/**
 * A parsed Python `re` pattern. Flags are resolved: every node that depends on one carries those in force where it stands, so nothing
 * behind the parser knows of `(?i)` or `(?-s:…)`. Semantics: CPython 3.11 `Lib/re`.
 */

/** Flags in force at a node; a bit set. */
export type Flags = number;
/** Letters match whatever their case. */
export const IGNORECASE = 1;
/** `^` and `$` match at line ends too. */
export const MULTILINE = 2;
/** `.` matches a line feed too. */
export const DOTALL = 4;
/** Blanks and comments in the pattern do not count. The parser alone uses it. */
export const VERBOSE = 8;
/** `\w`, `\d`, `\s`, `\b` and case know ASCII only. */
export const ASCII = 16;
/** Said explicitly; what is in force without `ASCII` anyway. */
export const UNICODE = 32;

/** No upper bound. */
export const UNBOUNDED = Number.POSITIVE_INFINITY;

/** The classes behind `\d`, `\s` and `\w`. */
export type Category = "digit" | "space" | "word";

/** One member of a character set; ends inclusive, in code points. */
export type SetMember =
  | { readonly type: "range"; readonly first: number; readonly last: number }
  | { readonly type: "category"; readonly category: Category; readonly negate: boolean };

/** A place that matches without consuming. */
export type Place = "lineBegin" | "textBegin" | "lineEnd" | "textEnd" | "boundary" | "notBoundary";

/** Nodes that follow each other. */
export type Sequence = readonly PatternNode[];

/** One node of a pattern. */
export type PatternNode =
  | { readonly type: "set"; readonly members: readonly SetMember[]; readonly negate: boolean; readonly flags: Flags }
  | { readonly type: "any"; readonly flags: Flags }
  | { readonly type: "place"; readonly place: Place; readonly flags: Flags }
  /** `index` is null for a group that captures nothing. */
  | { readonly type: "group"; readonly index: number | null; readonly body: Sequence }
  | { readonly type: "branch"; readonly options: readonly Sequence[] }
  | { readonly type: "repeat"; readonly min: number; readonly max: number; readonly mode: RepeatMode; readonly body: Sequence }
  | { readonly type: "look"; readonly behind: boolean; readonly negative: boolean; readonly body: Sequence }
  | { readonly type: "atomic"; readonly body: Sequence }
  | { readonly type: "backreference"; readonly group: number; readonly flags: Flags }
  | { readonly type: "conditional"; readonly group: number; readonly yes: Sequence; readonly no: Sequence | null };

/** Longest first, shortest first, or longest without giving back. */
export type RepeatMode = "greedy" | "lazy" | "possessive";

/** A whole pattern. */
export interface ParsedPattern {
  readonly body: Sequence;
  /** Capturing groups, the whole match not counted. */
  readonly groupCount: number;
  readonly groupNames: ReadonlyMap<string, number>;
  /** Fewest and most characters of each group, for lookbehinds; index 0 is not used. */
  readonly groupWidths: readonly Width[];
}

/** Fewest and most characters that something can match. */
export interface Width {
  readonly min: number;
  readonly max: number;
}

/** One character, given by code point. */
export function literal(code: number, flags: Flags): PatternNode {
  return { type: "set", members: [{ type: "range", first: code, last: code }], negate: false, flags };
}

/** The code point of a node that matches one character only and heeds no case; undefined for all others. */
export function literalCode(node: PatternNode | undefined): number | undefined {
  if (node?.type !== "set" || node.negate || node.members.length !== 1 || (node.flags & IGNORECASE) !== 0) return undefined;
  const [member] = node.members;
  return member?.type === "range" && member.first === member.last ? member.first : undefined;
}
