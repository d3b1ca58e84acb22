/**
 * A Python pattern as a JavaScript one, for the patterns that mean the same in both: those run at V8's speed. Everything below is written
 * for flag `u` alone; `i`, `m` and `s` differ from Python's.
 */
import { foldedAscii } from "./case-mapping.ts";
import {
  ASCII,
  type Category,
  DOTALL,
  IGNORECASE,
  literalCode,
  MULTILINE,
  type PatternNode,
  type Sequence,
  type SetMember,
} from "./pattern-nodes.ts";

/** A source for `new RegExp(source, "gu")`. */
export interface JavaScriptSource {
  readonly source: string;
  /** The JavaScript number of each Python group that captures there. */
  readonly groups: ReadonlyMap<number, number>;
}

const WORD = "\\p{L}\\p{N}_";
const ASCII_WORD = "0-9A-Za-z_";
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const NOT_SPACE =
  "\\x00-\\x08\\x0e-\\x1b\\x21-\\x84\\x86-\\x9f\\xa1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e\\u2060-\\u2fff\\u3001-\\u{10ffff}";

/** Inside brackets; null for what no class of flag `u` can say beside other members. */
const CLASSES: Readonly<Record<Category, Readonly<Record<"plain" | "negated" | "ascii" | "asciiNegated", string | null>>>> = {
  digit: { plain: "\\p{Nd}", negated: "\\P{Nd}", ascii: "0-9", asciiNegated: "\\x00-\\/:-\\u{10ffff}" },
  space: { plain: SPACE, negated: NOT_SPACE, ascii: "\\t-\\r ", asciiNegated: "\\x00-\\x08\\x0e-\\x1f\\x21-\\u{10ffff}" },
  word: { plain: WORD, negated: null, ascii: ASCII_WORD, asciiNegated: "\\x00-\\/:-@\\[-\\^`\\{-\\u{10ffff}" },
};

/**
 * Writes a pattern that `javascriptFitness` found fit. Groups whose text nobody asks for do not capture. Undefined for what only shows here:
 * a set of several members with `\W` among them, and letters beyond ASCII whose case does not count.
 */
export function toJavaScript(body: Sequence, usedGroups: ReadonlySet<number>): JavaScriptSource | undefined {
  const writer = new Writer(usedGroups, 0);
  const source = writer.sequence(body);
  return writer.failed ? undefined : { source, groups: writer.groups };
}

/**
 * The same for matches that are not empty, and that begin where the search does (flags `yu`): group 1 takes the whole rest of the text, and
 * can be there again at the end of the match only when nothing was consumed.
 */
export function toJavaScriptNotEmpty(body: Sequence, usedGroups: ReadonlySet<number>): JavaScriptSource | undefined {
  const writer = new Writer(usedGroups, 1);
  const source = `(?=([\\s\\S]*))(?:${writer.sequence(body)})(?!\\1$)`;
  return writer.failed ? undefined : { source, groups: writer.groups };
}

class Writer {
  readonly groups = new Map<number, number>();
  failed = false;
  readonly #used: ReadonlySet<number>;
  /** Groups that capture in JavaScript so far. */
  #opened: number;

  constructor(usedGroups: ReadonlySet<number>, opened: number) {
    this.#used = usedGroups;
    this.#opened = opened;
  }

  sequence(nodes: Sequence): string {
    return nodes.map((node) => this.#node(node)).join("");
  }

  #node(node: PatternNode): string {
    switch (node.type) {
      case "set":
        return this.#set(node);
      case "any":
        return (node.flags & DOTALL) === 0 ? "[^\\n]" : "[\\s\\S]";
      case "place":
        return place(node);
      case "group":
        return this.#group(node.index, node.body);
      case "branch":
        return `(?:${node.options.map((option) => this.sequence(option)).join("|")})`;
      case "repeat":
        return this.#repeat(node);
      case "look":
        return `(?${node.behind ? "<" : ""}${node.negative ? "!" : "="}${this.sequence(node.body)})`;
      case "atomic":
        return this.#atomic(node.body);
      case "backreference":
        return `(?:\\${this.groups.get(node.group)})`;
      case "conditional":
        this.failed = true;
        return "";
    }
  }

  #group(index: number | null, body: Sequence): string {
    if (index === null || !this.#used.has(index)) return `(?:${this.sequence(body)})`;
    this.#opened += 1;
    this.groups.set(index, this.#opened);
    return `(${this.sequence(body)})`;
  }

  #repeat({ min, max, mode, body }: Extract<PatternNode, { type: "repeat" }>): string {
    const bounds = max === Number.POSITIVE_INFINITY ? `{${min},}` : `{${min},${max}}`;
    if (mode !== "possessive") return `(?:${this.sequence(body)})${bounds}${mode === "lazy" ? "?" : ""}`;
    // Each iteration is final as soon as it is done, and so is their number.
    return this.#enclosed(() => `(?:${this.#atomic(body)})${bounds}`);
  }

  #atomic(body: Sequence): string {
    return body.every(leavesNoChoice) ? `(?:${this.sequence(body)})` : this.#enclosed(() => this.sequence(body));
  }

  /** A lookahead is never entered again; the text it found is then read by reference. */
  #enclosed(write: () => string): string {
    this.#opened += 1;
    const number = this.#opened;
    return `(?:(?=(${write()}))\\${number})`;
  }

  #set(node: Extract<PatternNode, { type: "set" }>): string {
    const code = literalCode(node);
    if (code !== undefined) return escapeCode(code);
    const ascii = (node.flags & ASCII) !== 0;
    if ((node.flags & IGNORECASE) !== 0) return this.#foldedSet(node, ascii);
    const [only] = node.members;
    if (node.members.length === 1 && only?.type === "category" && only.category === "word" && only.negate && !ascii) {
      return node.negate ? `[${WORD}]` : `[^${WORD}]`;
    }
    return `[${node.negate ? "^" : ""}${node.members.map((member) => this.#member(member, ascii)).join("")}]`;
  }

  /** Flag `i` folds otherwise than Python, so the characters are written out. */
  #foldedSet(node: Extract<PatternNode, { type: "set" }>, ascii: boolean): string {
    const members = node.members.map((member) => {
      if (member.type === "category") return [member];
      const folded = foldedAscii(member.first, member.last, ascii);
      if (folded === undefined) this.failed = true;
      return [member, ...(folded ?? []).map((code): SetMember => ({ type: "range", first: code, last: code }))];
    });
    return this.#set({ ...node, members: members.flat(), flags: node.flags & ~IGNORECASE });
  }

  #member(member: SetMember, ascii: boolean): string {
    if (member.type === "range") {
      const first = escapeCode(member.first);
      return member.first === member.last ? first : `${first}-${escapeCode(member.last)}`;
    }
    const row = CLASSES[member.category];
    const text = ascii ? (member.negate ? row.asciiNegated : row.ascii) : member.negate ? row.negated : row.plain;
    if (text === null) this.failed = true;
    return text ?? "";
  }
}

function leavesNoChoice(node: PatternNode): boolean {
  if (node.type === "group") return node.body.every(leavesNoChoice);
  return node.type === "set" || node.type === "any" || node.type === "place" || node.type === "look";
}

/** Letters, digits and `_` as they are, everything else by number: right inside and outside of brackets. */
function escapeCode(code: number): string {
  const character = String.fromCodePoint(code);
  return /^[0-9A-Za-z_]$/.test(character) ? character : `\\u{${code.toString(16)}}`;
}

function place(node: Extract<PatternNode, { type: "place" }>): string {
  const multiline = (node.flags & MULTILINE) !== 0;
  const word = (node.flags & ASCII) === 0 ? `[${WORD}]` : `[${ASCII_WORD}]`;
  switch (node.place) {
    case "textBegin":
      return "^";
    case "textEnd":
      return "$";
    case "lineBegin":
      return multiline ? "(?<![^\\n])" : "^";
    case "lineEnd":
      return multiline ? "(?![^\\n])" : "(?=\\n?$)";
    case "boundary":
      return `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`;
    case "notBoundary":
      return `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`;
  }
}
