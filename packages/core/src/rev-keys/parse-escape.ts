/** Backslash escapes of patterns, outside and inside character sets. */
import { characterByName } from "./character-names.ts";
import { pythonRepr } from "./pattern-fault.ts";
import { type Category, type Flags, literal, type PatternNode, type Place, type SetMember } from "./pattern-nodes.ts";
import { ASCII_LETTERS, DIGITS, HEX_DIGITS, lengthOf, OCTAL_DIGITS, type Tokens } from "./tokens.ts";

/** Escapes that stand for one character, in patterns and templates. */
export const CHARACTER_ESCAPES: ReadonlyMap<string, number> = new Map([
  ["\\a", 0x07],
  ["\\b", 0x08],
  ["\\f", 0x0c],
  ["\\n", 0x0a],
  ["\\r", 0x0d],
  ["\\t", 0x09],
  ["\\v", 0x0b],
  ["\\\\", 0x5c],
]);

const PLACES: ReadonlyMap<string, Place> = new Map([
  ["\\A", "textBegin"],
  ["\\Z", "textEnd"],
  ["\\b", "boundary"],
  ["\\B", "notBoundary"],
]);

const CATEGORIES: ReadonlyMap<string, { category: Category; negate: boolean }> = new Map([
  ["\\d", { category: "digit", negate: false }],
  ["\\D", { category: "digit", negate: true }],
  ["\\s", { category: "space", negate: false }],
  ["\\S", { category: "space", negate: true }],
  ["\\w", { category: "word", negate: false }],
  ["\\W", { category: "word", negate: true }],
]);

/** What escapes need to know of groups. */
export interface GroupReferences {
  /** Groups opened so far, the whole match included. */
  readonly opened: number;
  /** Whether the group is closed, so that it may be referred to. */
  isClosed(group: number): boolean;
  /**
   * Refuses references that a lookbehind may not make.
   * @throws {PatternFault} for an open group, or one of the same lookbehind.
   */
  requireOutsideLookbehind(group: number): void;
}

/**
 * The node that `token`, just taken, stands for.
 * @throws {PatternFault} with CPython's text for escapes that mean nothing or are not complete.
 */
export function parseEscape(tokens: Tokens, token: string, flags: Flags, groups: GroupReferences): PatternNode {
  const category = CATEGORIES.get(token);
  if (category) return { type: "set", members: [{ type: "category", ...category }], negate: false, flags };
  const place = PLACES.get(token);
  if (place) return { type: "place", place, flags };
  const character = CHARACTER_ESCAPES.get(token) ?? codedCharacter(tokens, token);
  if (character !== undefined) return literal(character, flags);
  const letter = token.slice(1);
  if (letter === "0") return literal(Number.parseInt(letter + tokens.takeWhile(2, OCTAL_DIGITS), 8), flags);
  if (DIGITS.test(letter)) return parseNumber(tokens, token, flags, groups);
  return literal(plainCharacter(tokens, token), flags);
}

/**
 * The member that `token`, just taken, stands for inside a character set.
 * @throws {PatternFault} with CPython's text for escapes that mean nothing there or are not complete.
 */
export function parseSetEscape(tokens: Tokens, token: string): SetMember {
  const category = CATEGORIES.get(token);
  if (category) return { type: "category", ...category };
  const character = CHARACTER_ESCAPES.get(token) ?? codedCharacter(tokens, token) ?? setCharacter(tokens, token);
  return { type: "range", first: character, last: character };
}

function setCharacter(tokens: Tokens, token: string): number {
  if (!DIGITS.test(token.slice(1))) return plainCharacter(tokens, token);
  if (!OCTAL_DIGITS.test(token.slice(1))) throw tokens.fault(`bad escape ${token}`, lengthOf(token));
  return octal(tokens, token + tokens.takeWhile(2, OCTAL_DIGITS));
}

/** `\x41`, `\u0041`, `\U00000041` and `\N{NAME}`; undefined for other escapes. */
function codedCharacter(tokens: Tokens, token: string): number | undefined {
  const digits = new Map([
    ["\\x", 2],
    ["\\u", 4],
    ["\\U", 8],
  ]).get(token);
  if (digits !== undefined) {
    const whole = token + tokens.takeWhile(digits, HEX_DIGITS);
    if (whole.length !== digits + 2) throw tokens.fault(`incomplete escape ${whole}`, whole.length);
    const code = Number.parseInt(whole.slice(2), 16);
    if (code > 0x10_ffff) throw tokens.fault(`bad escape ${whole}`, whole.length);
    return code;
  }
  if (token !== "\\N") return undefined;
  if (!tokens.match("{")) throw tokens.fault("missing {");
  const name = tokens.takeUntil("}", "character name");
  const code = characterByName(name);
  if (code !== undefined) return code;
  const hint = "character names other than those of ASCII are not known here: write the character itself, or \\uXXXX";
  throw tokens.fault(`undefined character name ${pythonRepr(name)}`, lengthOf(name) + 4, hint);
}

/** Three octal digits are a character, everything else a group. */
function parseNumber(tokens: Tokens, token: string, flags: Flags, groups: GroupReferences): PatternNode {
  let digits = token;
  if (tokens.next !== undefined && DIGITS.test(tokens.next)) {
    digits += tokens.take();
    if (/^\\[0-7]{2}$/.test(digits) && tokens.next !== undefined && OCTAL_DIGITS.test(tokens.next)) {
      return literal(octal(tokens, digits + tokens.take()), flags);
    }
  }
  const group = Number(digits.slice(1));
  if (group >= groups.opened) throw tokens.fault(`invalid group reference ${group}`, digits.length - 1);
  if (!groups.isClosed(group)) throw tokens.fault("cannot refer to an open group", digits.length);
  groups.requireOutsideLookbehind(group);
  return { type: "backreference", group, flags };
}

function octal(tokens: Tokens, token: string): number {
  const code = Number.parseInt(token.slice(1), 8);
  if (code > 0o377) throw tokens.fault(`octal escape value ${token} outside of range 0-0o377`, token.length);
  return code;
}

/** An escaped punctuation mark or non-ASCII letter is itself; ASCII letters are kept for meanings to come. */
function plainCharacter(tokens: Tokens, token: string): number {
  const character = token.slice(1);
  if (ASCII_LETTERS.test(character)) throw tokens.fault(`bad escape ${token}`, lengthOf(token));
  return character.codePointAt(0) ?? 0;
}
