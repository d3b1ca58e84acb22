/** Inline flags: `(?i)` for the whole pattern, `(?s-i:…)` for a part. */

import { PatternFault } from "./pattern-fault.ts";
import { ASCII, DOTALL, type Flags, IGNORECASE, MULTILINE, UNICODE, VERBOSE } from "./pattern-nodes.ts";
import { lengthOf, type Tokens } from "./tokens.ts";

/** CPython's `L` is for bytes patterns only; its `t` switches backtracking off and exists in 3.11 for no one's use. */
const LOCALE = 64;
const TEMPLATE = 128;
const TYPE_FLAGS = ASCII | UNICODE | LOCALE;

const FLAG_LETTERS: ReadonlyMap<string, Flags> = new Map([
  ["i", IGNORECASE],
  ["L", LOCALE],
  ["m", MULTILINE],
  ["s", DOTALL],
  ["x", VERBOSE],
  ["a", ASCII],
  ["t", TEMPLATE],
  ["u", UNICODE],
]);

/** What a flag group says. `global` flags hold for the whole pattern. */
export interface FlagChange {
  readonly global: boolean;
  readonly add: Flags;
  readonly remove: Flags;
}

/** Whether a character behind `(?` begins a flag group. */
export function beginsFlags(character: string): boolean {
  return character === "-" || FLAG_LETTERS.has(character);
}

/** The flags in force inside a part that changes them; of a, L and u the last one said counts. */
export function combineFlags(flags: Flags, { add, remove }: FlagChange): Flags {
  return ((add & TYPE_FLAGS ? flags & ~TYPE_FLAGS : flags) | add) & ~remove;
}

/**
 * Parses the flags behind `(?`, of which `character` has just been taken, up to and including `)` or `:`.
 * @throws {PatternFault} with CPython's text for flags that are unknown, forbidden or contradict each other.
 */
export function parseFlags(tokens: Tokens, character: string): FlagChange {
  let add = 0;
  let end = character;
  if (character !== "-") [add, end] = parseAdded(tokens, character);
  if (end === ")") {
    if (add & TEMPLATE) throw new PatternFault("flag t (no backtracking) cannot be expressed", { origin: "ours" });
    return { global: true, add, remove: 0 };
  }
  if (add & TEMPLATE) throw tokens.fault("bad inline flags: cannot turn on global flag", 1);
  const remove = end === "-" ? parseRemoved(tokens) : 0;
  if (remove & TEMPLATE) throw tokens.fault("bad inline flags: cannot turn off global flag", 1);
  if (add & remove) throw tokens.fault("bad inline flags: flag turned on and off", 1);
  return { global: false, add, remove };
}

/** Flags up to `)`, `:` or `-`, which comes back as the second value. */
function parseAdded(tokens: Tokens, first: string): [Flags, string] {
  let add = 0;
  for (let character = first; ; ) {
    const flag = FLAG_LETTERS.get(character) ?? 0;
    if (flag === LOCALE) throw tokens.fault("bad inline flags: cannot use 'L' flag with a str pattern");
    add |= flag;
    if (flag & TYPE_FLAGS && (add & TYPE_FLAGS) !== flag) throw tokens.fault("bad inline flags: flags 'a', 'u' and 'L' are incompatible");
    character = requireFlag(tokens, "missing -, : or )", ")-:");
    if (!FLAG_LETTERS.has(character)) return [add, character];
  }
}

/** Flags between `-` and `:`. */
function parseRemoved(tokens: Tokens): Flags {
  let remove = 0;
  for (let character = requireFlag(tokens, "missing flag", ""); ; ) {
    const flag = FLAG_LETTERS.get(character) ?? 0;
    if (flag & TYPE_FLAGS) throw tokens.fault("bad inline flags: cannot turn off flags 'a', 'u' and 'L'");
    remove |= flag;
    character = requireFlag(tokens, "missing :", ":");
    if (character === ":") return remove;
  }
}

/** Takes a flag letter or one of `ends`. */
function requireFlag(tokens: Tokens, missing: string, ends: string): string {
  const character = tokens.take();
  if (character === undefined) throw tokens.fault(missing);
  if (FLAG_LETTERS.has(character) || (ends.includes(character) && character.length === 1)) return character;
  throw tokens.fault(/^\p{L}$/u.test(character) ? "unknown flag" : missing, lengthOf(character));
}
