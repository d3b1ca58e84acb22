/**
 * From the text of a Python `re` pattern to nodes, faults included: what CPython 3.11 refuses is refused with its words and position.
 * Recursive descent; depth is bounded, and the length of a pattern by `revKeyPatternCharacters`.
 */
import { widthOf } from "./node-width.ts";
import { type GroupReferences, parseEscape } from "./parse-escape.ts";
import { beginsFlags, combineFlags, type FlagChange, parseFlags } from "./parse-flags.ts";
import { parseQuantifier } from "./parse-quantifier.ts";
import { parseSet } from "./parse-set.ts";
import { PatternFault, pythonRepr } from "./pattern-fault.ts";
import {
  ASCII,
  type Flags,
  literal,
  type ParsedPattern,
  type PatternNode,
  type Sequence,
  UNICODE,
  VERBOSE,
  type Width,
} from "./pattern-nodes.ts";
import { lengthOf, Tokens } from "./tokens.ts";

/** Groups inside groups; far above what people write, far below what a stack holds. */
const DEPTH_MAX = 100;
const IDENTIFIER = /^[\p{XIDS}_]\p{XIDC}*$/u;
/** What `(?x)` skips (`WHITESPACE` of CPython's parser). */
const BLANK = /^[ \t\n\r\v\f]$/;

/**
 * Parses a pattern.
 * @throws {PatternFault} with CPython 3.11's message, or ours for what has no meaning here.
 */
export function parsePattern(text: string): ParsedPattern {
  return new PatternParser(text).parse();
}

/** Whether `name` is a Python identifier, and so may name a group. */
export function isIdentifier(name: string): boolean {
  return IDENTIFIER.test(name);
}

class PatternParser implements GroupReferences {
  readonly #tokens: Tokens;
  /** Flags said for the whole pattern; they all come before the first node. */
  #globalFlags: Flags = 0;
  readonly #groupNames = new Map<string, number>();
  readonly #groupWidths: (Width | undefined)[] = [{ min: 0, max: 0 }];
  /** Groups that were open when the outermost lookbehind began. */
  #lookbehindGroups: number | undefined;
  /** Groups that conditionals ask for, by where they do; they may come later. */
  readonly #conditionGroups = new Map<number, number>();
  /** Widths are only known at the end of the pattern, and CPython complains only there. */
  #variableLookbehind = false;

  constructor(text: string) {
    this.#tokens = new Tokens(text);
  }

  parse(): ParsedPattern {
    const body = this.#parseBranch(0, 0);
    if ((this.#globalFlags & ASCII) !== 0 && (this.#globalFlags & UNICODE) !== 0)
      throw new PatternFault("ASCII and UNICODE flags are incompatible");
    if (this.#tokens.next !== undefined) throw this.#tokens.fault("unbalanced parenthesis");
    for (const [group, position] of this.#conditionGroups) {
      if (group >= this.opened) throw this.#tokens.faultAt(`invalid group reference ${group}`, position);
    }
    if (this.#variableLookbehind) throw new PatternFault("look-behind requires fixed-width pattern");
    const groupWidths = this.#groupWidths.map((width) => width ?? { min: 0, max: 0 });
    return { body, groupCount: this.opened - 1, groupNames: this.#groupNames, groupWidths };
  }

  get opened(): number {
    return this.#groupWidths.length;
  }

  isClosed(group: number): boolean {
    return this.#groupWidths[group] !== undefined;
  }

  requireOutsideLookbehind(group: number): void {
    if (this.#lookbehindGroups === undefined) return;
    if (!this.isClosed(group)) throw this.#tokens.fault("cannot refer to an open group");
    if (group >= this.#lookbehindGroups) throw this.#tokens.fault("cannot refer to group defined in the same lookbehind subpattern");
  }

  /** Alternatives: `a|b|c`. */
  #parseBranch(flags: Flags, depth: number): Sequence {
    if (depth > DEPTH_MAX)
      throw new PatternFault(`groups nested more than ${DEPTH_MAX} deep`, { position: this.#tokens.position, origin: "ours" });
    const options: Sequence[] = [];
    do {
      // Global flags are known once the first alternative has begun, so the later ones of the outermost level see them from their start.
      options.push(this.#parseSequence(depth === 0 ? this.#globalFlags : flags, depth, depth === 0 && options.length === 0));
    } while (this.#tokens.match("|"));
    return options.length === 1 ? (options[0] as Sequence) : [{ type: "branch", options }];
  }

  /** What stands between `(`, `|` and `)`. `first`: the very start of the pattern, where global flags may stand. */
  #parseSequence(outer: Flags, depth: number, first = false): Sequence {
    const nodes: PatternNode[] = [];
    let flags = outer;
    for (let token = this.#tokens.next; token !== undefined && token !== "|" && token !== ")"; token = this.#tokens.next) {
      this.#tokens.take();
      if ((flags & VERBOSE) !== 0 && this.#skipBlank(token)) continue;
      if (token.startsWith("\\")) nodes.push(parseEscape(this.#tokens, token, flags, this));
      else if (token === "[") nodes.push(parseSet(this.#tokens, flags));
      else if (token === ".") nodes.push({ type: "any", flags });
      else if (token === "^") nodes.push({ type: "place", place: "lineBegin", flags });
      else if (token === "$") nodes.push({ type: "place", place: "lineEnd", flags });
      else if ("*+?{".includes(token)) parseQuantifier(this.#tokens, token, nodes, flags);
      else if (token === "(") {
        const group = this.#parseGroup(flags, depth, first && nodes.length === 0);
        if (group === "global flags") flags |= this.#globalFlags;
        else if (group !== "comment") nodes.push(group);
      } else nodes.push(literal(token.codePointAt(0) ?? 0, flags));
    }
    return nodes;
  }

  /** In verbose patterns: blanks, and comments up to the end of the line. */
  #skipBlank(token: string): boolean {
    if (token !== "#") return BLANK.test(token);
    for (let skipped = this.#tokens.take(); skipped !== undefined && skipped !== "\n"; ) skipped = this.#tokens.take();
    return true;
  }

  /** Whatever begins with `(`, which has just been taken. */
  #parseGroup(flags: Flags, depth: number, first: boolean): PatternNode | "comment" | "global flags" {
    const begin = this.#tokens.position - 1;
    if (!this.#tokens.match("?")) return this.#parseCapture(begin, null, flags, depth);
    const kind = this.#tokens.take();
    if (kind === undefined) throw this.#tokens.fault("unexpected end of pattern");
    if (kind === "P") return this.#parsePythonGroup(begin, flags, depth);
    if (kind === ":") return { type: "group", index: null, body: this.#parseBody(begin, flags, depth) };
    if (kind === ">") return { type: "atomic", body: this.#parseBody(begin, flags, depth) };
    if (kind === "#") return this.#skipComment(begin);
    if (kind === "=" || kind === "!") return this.#parseLook(begin, kind, false, flags, depth);
    if (kind === "<") return this.#parseLookbehind(begin, flags, depth);
    if (kind === "(") return this.#parseConditional(begin, flags, depth);
    if (!beginsFlags(kind)) throw this.#tokens.fault(`unknown extension ?${kind}`, lengthOf(kind) + 1);
    const change = parseFlags(this.#tokens, kind);
    if (!change.global) return { type: "group", index: null, body: this.#parseBody(begin, combineFlags(flags, change), depth) };
    return this.#setGlobalFlags(change, begin, first);
  }

  #setGlobalFlags(change: FlagChange, begin: number, first: boolean): "global flags" {
    if (!first) throw this.#tokens.fault("global flags not at the start of the expression", this.#tokens.position - begin);
    this.#globalFlags |= change.add;
    return "global flags";
  }

  #skipComment(begin: number): "comment" {
    for (;;) {
      if (this.#tokens.next === undefined) throw this.#tokens.fault("missing ), unterminated comment", this.#tokens.position - begin);
      if (this.#tokens.take() === ")") return "comment";
    }
  }

  /** The alternatives inside a group, and its `)`. */
  #parseBody(begin: number, flags: Flags, depth: number): Sequence {
    const body = this.#parseBranch(flags, depth + 1);
    if (!this.#tokens.match(")")) throw this.#tokens.fault("missing ), unterminated subpattern", this.#tokens.position - begin);
    return body;
  }

  #parseCapture(begin: number, name: string | null, flags: Flags, depth: number): PatternNode {
    const index = this.opened;
    this.#groupWidths.push(undefined);
    if (name !== null) {
      const before = this.#groupNames.get(name);
      if (before !== undefined) {
        throw this.#tokens.fault(
          `redefinition of group name ${pythonRepr(name)} as group ${index}; was group ${before}`,
          lengthOf(name) + 1,
        );
      }
      this.#groupNames.set(name, index);
    }
    const body = this.#parseBody(begin, flags, depth);
    this.#groupWidths[index] = this.#widthOf(body);
    return { type: "group", index, body };
  }

  /** `(?P<name>…)` and `(?P=name)`. */
  #parsePythonGroup(begin: number, flags: Flags, depth: number): PatternNode {
    if (this.#tokens.match("<")) {
      const name = this.#tokens.takeUntil(">", "group name");
      this.#requireIdentifier(name);
      return this.#parseCapture(begin, name, flags, depth);
    }
    if (this.#tokens.match("=")) {
      const name = this.#tokens.takeUntil(")", "group name");
      this.#requireIdentifier(name);
      const group = this.#groupNames.get(name);
      if (group === undefined) throw this.#tokens.fault(`unknown group name ${pythonRepr(name)}`, lengthOf(name) + 1);
      if (!this.isClosed(group)) throw this.#tokens.fault("cannot refer to an open group", lengthOf(name) + 1);
      this.requireOutsideLookbehind(group);
      return { type: "backreference", group, flags };
    }
    const token = this.#tokens.take();
    if (token === undefined) throw this.#tokens.fault("unexpected end of pattern");
    throw this.#tokens.fault(`unknown extension ?P${token}`, lengthOf(token) + 2);
  }

  #requireIdentifier(name: string): void {
    if (!isIdentifier(name)) throw this.#tokens.fault(`bad character in group name ${pythonRepr(name)}`, lengthOf(name) + 1);
  }

  #parseLookbehind(begin: number, flags: Flags, depth: number): PatternNode {
    const kind = this.#tokens.take();
    if (kind === undefined) throw this.#tokens.fault("unexpected end of pattern");
    if (kind === "=" || kind === "!") return this.#parseLook(begin, kind, true, flags, depth);
    const hint = "Python writes named groups (?P<name>...)";
    throw this.#tokens.fault(`unknown extension ?<${kind}`, lengthOf(kind) + 2, hint);
  }

  #parseLook(begin: number, kind: "=" | "!", behind: boolean, flags: Flags, depth: number): PatternNode {
    const outermost = behind && this.#lookbehindGroups === undefined;
    if (outermost) this.#lookbehindGroups = this.opened;
    const body = this.#parseBranch(flags, depth + 1);
    if (outermost) this.#lookbehindGroups = undefined;
    if (!this.#tokens.match(")")) throw this.#tokens.fault("missing ), unterminated subpattern", this.#tokens.position - begin);
    const width = this.#widthOf(body);
    if (behind && width.min !== width.max) this.#variableLookbehind = true;
    return { type: "look", behind, negative: kind === "!", body };
  }

  /** `(?(group)yes|no)`. */
  #parseConditional(begin: number, flags: Flags, depth: number): PatternNode {
    const name = this.#tokens.takeUntil(")", "group name");
    const group = isIdentifier(name) ? this.#groupNames.get(name) : this.#conditionGroup(name);
    if (group === undefined) throw this.#tokens.fault(`unknown group name ${pythonRepr(name)}`, lengthOf(name) + 1);
    this.requireOutsideLookbehind(group);
    if (depth >= DEPTH_MAX) throw new PatternFault(`groups nested more than ${DEPTH_MAX} deep`, { position: begin, origin: "ours" });
    const yes = this.#parseSequence(flags, depth + 1);
    const no = this.#tokens.match("|") ? this.#parseSequence(flags, depth + 1) : null;
    if (this.#tokens.next === "|") throw this.#tokens.fault("conditional backref with more than two branches");
    if (!this.#tokens.match(")")) throw this.#tokens.fault("missing ), unterminated subpattern", this.#tokens.position - begin);
    return { type: "conditional", group, yes, no };
  }

  #conditionGroup(name: string): number {
    const group = groupNumber(name);
    if (group === undefined) throw this.#tokens.fault(`bad character in group name ${pythonRepr(name)}`, lengthOf(name) + 1);
    if (group === 0) throw this.#tokens.fault("bad group number", lengthOf(name) + 1);
    if (!this.#conditionGroups.has(group)) this.#conditionGroups.set(group, this.#tokens.position - lengthOf(name) - 1);
    return group;
  }

  #widthOf(body: Sequence): Width {
    return widthOf(
      body,
      this.#groupWidths.map((width) => width ?? { min: 0, max: 0 }),
    );
  }
}

/** A group's number as Python's `int()` reads it: signs, blanks around and single underscores between digits are fine. */
export function groupNumber(text: string): number | undefined {
  // str.isspace(), not JavaScript's: that would take a byte order mark off too.
  const trimmed = text.replace(/^[\s\x1c-\x1f\x85]+|[\s\x1c-\x1f\x85]+$/g, (blank) => (blank.includes("\ufeff") ? blank : ""));
  return /^[+-]?[0-9]+(_[0-9]+)*$/.test(trimmed) && !/^-.*[1-9]/.test(trimmed) ? Math.abs(Number(trimmed.replaceAll("_", ""))) : undefined;
}
