/** Rules that need no pattern: literal text, perhaps bound to the beginning or the end of the key. Nearly all rules in use are such. */

import type { StepBudget } from "./match-program.ts";
import type { TemplatePart } from "./parse-template.ts";
import { literalCode, MULTILINE, type PatternNode, type Sequence } from "./pattern-nodes.ts";

/** How a compiled rule rewrites one key. */
export type Rewrite = (key: string, budget: StepBudget) => string;

/** The rewrite of such a rule; undefined for every other. `general` serves the keys that need more thought. */
export function literalRewrite(body: Sequence, parts: readonly TemplatePart[], general: Rewrite): Rewrite | undefined {
  const begins = isBegin(body[0]);
  const rest = begins ? body.slice(1) : body;
  const last = rest.at(-1);
  const ends = last?.type === "place" ? endOf(last) : "none";
  const codes = (ends === "none" ? rest : rest.slice(0, -1)).map(literalCode);
  if (ends === "other" || codes.includes(undefined)) return undefined;
  const text = String.fromCodePoint(...(codes as number[]));
  // A lone surrogate could match half of a character, a line feed could be the one that `$` looks past.
  if (/[\ud800-\udfff\n]/u.test(text) || parts.some((part) => typeof part === "number" && part !== 0)) return undefined;
  const replacement = parts.map((part) => (part === 0 ? text : part)).join("");
  return rewriteOf(text, replacement, begins, ends, general);
}

function rewriteOf(
  text: string,
  replacement: string,
  begins: boolean,
  ends: "none" | "textEnd" | "lineEnd",
  general: Rewrite,
): Rewrite | undefined {
  if (begins && ends === "none") return (key) => (key.startsWith(text) ? replacement + key.slice(text.length) : key);
  if (begins) {
    return (key) => {
      if (key === text) return replacement;
      return ends === "lineEnd" && key === `${text}\n` ? `${replacement}\n` : key;
    };
  }
  if (text === "") return undefined;
  if (ends === "none") return (key) => (key.includes(text) ? key.replaceAll(text, () => replacement) : key);
  return (key, budget) => {
    if (ends === "lineEnd" && key.endsWith("\n")) return general(key, budget);
    return key.endsWith(text) ? key.slice(0, key.length - text.length) + replacement : key;
  };
}

function isBegin(node: PatternNode | undefined): boolean {
  return node?.type === "place" && (node.place === "textBegin" || (node.place === "lineBegin" && (node.flags & MULTILINE) === 0));
}

function endOf(node: Extract<PatternNode, { type: "place" }>): "textEnd" | "lineEnd" | "other" {
  if (node.place === "textEnd") return "textEnd";
  return node.place === "lineEnd" && (node.flags & MULTILINE) === 0 ? "lineEnd" : "other";
}
