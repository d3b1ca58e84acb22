/**
 * A pattern that V8 can run for one that only our matcher can: it matches wherever that one does, and perhaps elsewhere. Most keys match
 * neither, and are spared the matcher.
 */
import { type JavaScriptFitness, javascriptFitness } from "./javascript-fitness.ts";
import { toJavaScript } from "./javascript-pattern.ts";
import { widthOf } from "./node-width.ts";
import { DOTALL, IGNORECASE, type ParsedPattern, type PatternNode, type Sequence, UNBOUNDED } from "./pattern-nodes.ts";
import { repeatsStraight } from "./straight.ts";

/** Where a key may match. */
export class MatchSuperset {
  readonly fitness: JavaScriptFitness;
  readonly #pattern: RegExp;

  constructor(source: string, fitness: JavaScriptFitness) {
    this.#pattern = new RegExp(source, "gu");
    this.fitness = fitness;
  }

  /** The first place at or behind `from` where a match can begin, in UTF-16 units; -1 for none. Only for keys within the bound. */
  next(key: string, from: number): number {
    this.#pattern.lastIndex = from;
    return this.#pattern.exec(key)?.index ?? -1;
  }
}

/** Such a pattern; undefined when there is none that says anything. */
export function matchSuperset(parsed: ParsedPattern): MatchSuperset | undefined {
  const body = widen(parsed.body, parsed);
  if (widthOf(body, parsed.groupWidths).min === 0) return undefined;
  const fitness = javascriptFitness({ ...parsed, body }, new Set());
  const written = fitness.obstacle === undefined ? toJavaScript(body, new Set()) : undefined;
  return written && new MatchSuperset(written.source, fitness);
}

const REPEATS_MAX = 64;

function widen(sequence: Sequence, parsed: ParsedPattern): Sequence {
  return sequence.map((node) => widenNode(node, parsed));
}

function widenNode(node: PatternNode, parsed: ParsedPattern): PatternNode {
  switch (node.type) {
    case "set":
      return isFoldedBeyondAscii(node) ? anything(1, 1) : node;
    case "any":
    case "place":
      return node;
    case "group":
    case "atomic":
      return { type: "group", index: null, body: widen(node.body, parsed) };
    case "branch":
      return { type: "branch", options: node.options.map((option) => widen(option, parsed)) };
    case "conditional":
      return { type: "branch", options: [node.yes, node.no ?? []].map((option) => widen(option, parsed)) };
    case "look":
      // What must not follow would forbid more when widened.
      return node.negative || node.behind ? NOTHING : { ...node, body: widen(node.body, parsed) };
    case "backreference":
      return anything(0, UNBOUNDED);
    case "repeat":
      return widenRepeat(node, parsed);
  }
}

function widenRepeat(node: Extract<PatternNode, { type: "repeat" }>, parsed: ParsedPattern): PatternNode {
  const body = widen(node.body, parsed);
  const width = widthOf(body, parsed.groupWidths);
  if (width.min === 0 || (node.max > 1 && !repeatsStraight(body))) return anything(Math.min(width.min * node.min, REPEATS_MAX), UNBOUNDED);
  const min = Math.min(node.min, REPEATS_MAX);
  return { type: "repeat", min, max: node.max > REPEATS_MAX ? UNBOUNDED : node.max, mode: "greedy", body };
}

const NOTHING: PatternNode = { type: "group", index: null, body: [] };

function anything(min: number, max: number): PatternNode {
  return { type: "repeat", min, max, mode: "greedy", body: [{ type: "any", flags: DOTALL }] };
}

function isFoldedBeyondAscii(node: Extract<PatternNode, { type: "set" }>): boolean {
  return (node.flags & IGNORECASE) !== 0 && node.members.some((member) => member.type === "range" && member.last >= 0x80);
}
