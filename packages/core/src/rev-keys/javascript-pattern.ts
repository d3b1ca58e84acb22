/**
 * A Python pattern as a JavaScript one, for the patterns that mean the same in both: those run at V8's speed. Everything below is written
 * for flag `u` alone; `i`, `m` and `s` differ from Python's.
 */
import { ASCII, type Category, DOTALL, literalCode, MULTILINE, type PatternNode, type Sequence, type SetMember } from "./pattern-nodes.ts";

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
 * Writes a pattern that `javascriptFitness` found fit. Groups whose text nobody asks for do not capture. Undefined for the one thing that
 * only shows here: a set of several members with `\W` among them.
 */
export function toJavaScript(body: Sequence, usedGroups: ReadonlySet<number>): JavaScriptSource | undefined {
  const writer = new Writer(usedGroups);
  const source = writer.sequence(body);
  return writer.failed ? undefined : { source, groups: writer.groups };
}

class Writer {
  readonly groups = new Map<number, number>();
  failed = false;
  readonly #used: ReadonlySet<number>;

  constructor(usedGroups: ReadonlySet<number>) {
    this.#used = usedGroups;
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
      case "repeat": {
        const bounds = node.max === Number.POSITIVE_INFINITY ? `{${node.min},}` : `{${node.min},${node.max}}`;
        return `(?:${this.sequence(node.body)})${bounds}${node.mode === "lazy" ? "?" : ""}`;
      }
      case "look":
        return `(?${node.behind ? "<" : ""}${node.negative ? "!" : "="}${this.sequence(node.body)})`;
      default:
        this.failed = true;
        return "";
    }
  }

  #group(index: number | null, body: Sequence): string {
    if (index === null || !this.#used.has(index)) return `(?:${this.sequence(body)})`;
    this.groups.set(index, this.groups.size + 1);
    return `(${this.sequence(body)})`;
  }

  #set(node: Extract<PatternNode, { type: "set" }>): string {
    const code = literalCode(node);
    if (code !== undefined) return escapeCode(code);
    const ascii = (node.flags & ASCII) !== 0;
    const [only] = node.members;
    if (node.members.length === 1 && only?.type === "category" && only.category === "word" && only.negate && !ascii) {
      return node.negate ? `[${WORD}]` : `[^${WORD}]`;
    }
    return `[${node.negate ? "^" : ""}${node.members.map((member) => this.#member(member, ascii)).join("")}]`;
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
