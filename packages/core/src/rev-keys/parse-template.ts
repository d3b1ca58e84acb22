/** Replacement templates of Python's `re.sub`. */

import { CHARACTER_ESCAPES } from "./parse-escape.ts";
import { groupNumber, isIdentifier } from "./parse-pattern.ts";
import { PatternFault, pythonRepr } from "./pattern-fault.ts";
import { ASCII_LETTERS, DIGITS, lengthOf, OCTAL_DIGITS, Tokens } from "./tokens.ts";

/** Text to write as it stands, or the number of a group whose text is written (nothing when it took no part). */
export type TemplatePart = string | number;

/** A parsed template. */
export interface Template {
  /** Neighbouring texts are joined. */
  readonly parts: readonly TemplatePart[];
  /** Things that are legal but surely not meant. */
  readonly warnings: readonly string[];
}

/**
 * Parses a template for a pattern with `groupCount` groups and these names.
 * @throws {PatternFault} with CPython 3.11's message for bad escapes and for groups that do not exist.
 */
export function parseTemplate(text: string, groupCount: number, groupNames: ReadonlyMap<string, number>): Template {
  const tokens = new Tokens(text);
  const parts: TemplatePart[] = [];
  const warnings: string[] = [];
  const requireGroup = (group: number, back: number) => {
    if (group > groupCount) throw tokens.fault(`invalid group reference ${group}`, back);
    return group;
  };
  for (let token = tokens.take(); token !== undefined; token = tokens.take()) {
    const part = token.startsWith("\\") ? parseEscapedPart(tokens, token, groupNames, requireGroup) : token;
    if (part === token && token.startsWith("\\"))
      warnings.push(`the replacement puts the backslash of ${pythonRepr(token)} into the key; only patterns need it`);
    const before = parts.at(-1);
    if (typeof part === "string" && typeof before === "string") parts[parts.length - 1] = before + part;
    else parts.push(part);
  }
  return { parts, warnings };
}

function parseEscapedPart(
  tokens: Tokens,
  token: string,
  groupNames: ReadonlyMap<string, number>,
  requireGroup: (group: number, back: number) => number,
): TemplatePart {
  const character = token.slice(1);
  if (character === "g") {
    if (!tokens.match("<")) throw tokens.fault("missing <");
    const name = tokens.takeUntil(">", "group name");
    return requireGroup(namedGroup(tokens, name, groupNames), lengthOf(name) + 1);
  }
  if (character === "0") {
    const digits = tokens.takeWhile(2, OCTAL_DIGITS);
    return String.fromCharCode(Number.parseInt(`0${digits}`, 8) & 0xff);
  }
  if (DIGITS.test(character)) return parseNumber(tokens, token, requireGroup);
  const code = CHARACTER_ESCAPES.get(token);
  if (code !== undefined) return String.fromCharCode(code);
  if (ASCII_LETTERS.test(character)) throw tokens.fault(`bad escape ${token}`, lengthOf(token));
  return token;
}

function namedGroup(tokens: Tokens, name: string, groupNames: ReadonlyMap<string, number>): number {
  if (isIdentifier(name)) {
    const group = groupNames.get(name);
    // CPython raises this one as an IndexError, without a position.
    if (group === undefined) throw new PatternFault(`unknown group name ${pythonRepr(name)}`);
    return group;
  }
  const group = groupNumber(name);
  if (group === undefined) throw tokens.fault(`bad character in group name ${pythonRepr(name)}`, lengthOf(name) + 1);
  return group;
}

/** Three octal digits are a character; otherwise one or two digits are a group. */
function parseNumber(tokens: Tokens, token: string, requireGroup: (group: number, back: number) => number): TemplatePart {
  let digits = token;
  if (tokens.next !== undefined && DIGITS.test(tokens.next)) {
    digits += tokens.take();
    if (/^\\[0-7]{2}$/.test(digits) && tokens.next !== undefined && OCTAL_DIGITS.test(tokens.next)) {
      digits += tokens.take();
      const code = Number.parseInt(digits.slice(1), 8);
      if (code > 0o377) throw tokens.fault(`octal escape value ${digits} outside of range 0-0o377`, digits.length);
      return String.fromCharCode(code);
    }
  }
  return requireGroup(Number(digits.slice(1)), digits.length - 1);
}
