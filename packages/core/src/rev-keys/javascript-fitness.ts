/**
 * Which patterns V8 may run: those that mean the same in JavaScript, and whose worst case is bounded by a small power of the key's length,
 * because V8 cannot be interrupted. All others run in our own matcher, which can do everything and stop.
 */
import { widthOf } from "./node-width.ts";
import { IGNORECASE, literalCode, type ParsedPattern, type PatternNode, type Sequence, UNBOUNDED } from "./pattern-nodes.ts";

/** Steps that V8 may need for one key in the worst case: tens of milliseconds. */
const WORST_STEPS_MAX = 4_000_000;
/** V8 writes counted repeats out. */
const COUNT_MAX = 64;

/** What is known about a pattern's behaviour in V8. */
export interface JavaScriptFitness {
  /** Why V8 may not run it; undefined when it may. */
  readonly obstacle: string | undefined;
  /** Keys up to this length are within the bound. */
  readonly lengthMax: number;
}

/** Judges a pattern; `usedGroups` are those whose text is asked for. */
export function javascriptFitness(pattern: ParsedPattern, usedGroups: ReadonlySet<number>): JavaScriptFitness {
  const judge = new Judge(pattern, usedGroups);
  // After an empty match Python tries the same place again for a longer one; V8 steps on.
  const obstacle =
    widthOf(pattern.body, pattern.groupWidths).min === 0
      ? "it can match nothing"
      : judge.sequence(pattern.body, { repeated: false, looked: false });
  if (obstacle !== undefined) return { obstacle, lengthMax: 0 };
  const [begin] = pattern.body;
  const anchored = begin?.type === "place" && begin.place === "textBegin";
  const power = judge.unbounded + (anchored ? 0 : 1);
  return { obstacle, lengthMax: power === 0 ? UNBOUNDED : Math.floor((WORST_STEPS_MAX / judge.ways) ** (1 / power)) };
}

interface Surroundings {
  /** Inside a repeat: V8 forgets captures at each iteration, Python keeps the last. */
  readonly repeated: boolean;
  /** Inside a lookaround: V8 matches lookbehinds backwards. */
  readonly looked: boolean;
}

class Judge {
  /** Repeats without an upper bound. */
  unbounded = 0;
  /** Ways through everything else that leaves a choice. */
  ways = 1;
  readonly #pattern: ParsedPattern;
  readonly #used: ReadonlySet<number>;

  constructor(pattern: ParsedPattern, usedGroups: ReadonlySet<number>) {
    this.#pattern = pattern;
    this.#used = usedGroups;
  }

  sequence(nodes: Sequence, around: Surroundings): string | undefined {
    for (const node of nodes) {
      const obstacle = this.#node(node, around);
      if (obstacle !== undefined) return obstacle;
    }
    return undefined;
  }

  #node(node: PatternNode, around: Surroundings): string | undefined {
    switch (node.type) {
      case "set":
        return (node.flags & IGNORECASE) === 0 ? undefined : "it ignores case";
      case "any":
      case "place":
        return undefined;
      case "group":
        if (node.index !== null && this.#used.has(node.index) && (around.repeated || around.looked))
          return "it captures inside a repeat or a lookaround";
        return this.sequence(node.body, around);
      case "branch":
        if (!areDistinct(node.options)) this.ways *= node.options.length;
        return node.options.reduce<string | undefined>((obstacle, option) => obstacle ?? this.sequence(option, around), undefined);
      case "look":
        return this.sequence(node.body, { ...around, looked: true });
      case "repeat":
        return this.#repeat(node, around);
      default:
        return "it has atomic groups, backreferences or conditions";
    }
  }

  #repeat(node: Extract<PatternNode, { type: "repeat" }>, around: Surroundings): string | undefined {
    const { min, max, mode, body } = node;
    if (mode === "possessive") return "it has atomic groups, backreferences or conditions";
    if (min > COUNT_MAX || (max !== UNBOUNDED && max > COUNT_MAX)) return "it counts far";
    // In Python an iteration may be empty, and is then the last one; in JavaScript it may not.
    if (widthOf(body, this.#pattern.groupWidths).min === 0) return "it repeats what can be empty";
    if (max > 1 && !isStraight(body)) return "it repeats what has choices of its own";
    if (max === UNBOUNDED) this.unbounded += 1;
    else this.ways *= max - min + 1;
    return this.sequence(body, { ...around, repeated: true });
  }
}

/** Whether a text can be matched in one way only: repeating such a thing gives one way per number of iterations, not 2^n. */
function isStraight(sequence: Sequence): boolean {
  return sequence.every((node) => {
    if (node.type === "set" || node.type === "any" || node.type === "place") return true;
    if (node.type === "group") return isStraight(node.body);
    return node.type === "branch" && areDistinct(node.options) && node.options.every(isStraight);
  });
}

/** Whether the first character tells the alternatives apart. Only literal ones are looked at. */
function areDistinct(options: readonly Sequence[]): boolean {
  const firsts = options.map(firstLiteral);
  return !firsts.includes(undefined) && new Set(firsts).size === firsts.length;
}

function firstLiteral([first]: Sequence): number | undefined {
  return first?.type === "group" ? firstLiteral(first.body) : literalCode(first);
}
