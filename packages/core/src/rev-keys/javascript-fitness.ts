/**
 * Which patterns V8 may run: those that mean the same in JavaScript, and whose worst case is bounded by a small power of the key's length,
 * because V8 cannot be interrupted. All others run in our own matcher, which can do everything and stop.
 */
import { widthOf } from "./node-width.ts";
import { IGNORECASE, MULTILINE, type ParsedPattern, type PatternNode, type Sequence, UNBOUNDED } from "./pattern-nodes.ts";
import { areDistinct, repeatsStraight } from "./straight.ts";

/** Steps that V8 may need for one key in the worst case: tens of milliseconds, tenths of a second for the first keys, which it interprets. */
const WORST_STEPS_MAX = 4_000_000;
/** The same for keys with characters beyond Latin-1: V8 looks each of them up in hundreds of ranges to find out what it is. */
const WORST_WIDE_STEPS_MAX = WORST_STEPS_MAX / 64;
/** V8 writes counted repeats out: this many iterations, and so many nodes in all. */
const COUNT_MAX = 64;
const NODES_MAX = 20_000;

/** What is known about a pattern's behaviour in V8. */
export interface JavaScriptFitness {
  /** Why V8 may not run it; undefined when it may. */
  readonly obstacle: string | undefined;
  /** Keys of Latin-1 up to this length are within the bound. */
  readonly lengthMax: number;
  /** All keys up to this length are. */
  readonly wideLengthMax: number;
  /** A match may be empty. */
  readonly nullable: boolean;
}

/** Judges a pattern; `usedGroups` are those whose text is asked for, by the template or by the pattern itself. */
export function javascriptFitness(pattern: ParsedPattern, usedGroups: ReadonlySet<number>): JavaScriptFitness {
  const judge = new Judge(pattern, usedGroups);
  const nullable = widthOf(pattern.body, pattern.groupWidths).min === 0;
  const anchored = isTextPlace(pattern.body[0], "lineBegin", "textBegin");
  // Each empty match costs V8 a second try at the same place, which is slow where every place is one.
  const frequent = nullable && !anchored && !isTextPlace(pattern.body.at(-1), "lineEnd", "textEnd");
  const obstacle = frequent ? "it can match nothing anywhere" : judge.sequence(pattern.body, OUTERMOST);
  if (obstacle !== undefined) return { obstacle, lengthMax: 0, wideLengthMax: 0, nullable };
  const power = judge.unbounded + (anchored ? 0 : 1);
  const longest = (steps: number) => (power === 0 ? UNBOUNDED : Math.floor((steps / judge.ways) ** (1 / power)));
  return { obstacle, nullable, lengthMax: longest(WORST_STEPS_MAX), wideLengthMax: longest(WORST_WIDE_STEPS_MAX) };
}

/** Whether V8 may run a pattern on a key. */
export function isWithinBound(key: string, { lengthMax, wideLengthMax }: Pick<JavaScriptFitness, "lengthMax" | "wideLengthMax">): boolean {
  return key.length <= wideLengthMax || (key.length <= lengthMax && !BEYOND_LATIN_1.test(key));
}

const BEYOND_LATIN_1 = /[^\0-\xff]/;

/** Groups that the pattern itself asks for. */
export function referencedGroups(sequence: Sequence, found = new Set<number>()): ReadonlySet<number> {
  for (const node of sequence) {
    if (node.type === "backreference") found.add(node.group);
    else if (node.type === "branch") for (const option of node.options) referencedGroups(option, found);
    else if (node.type === "conditional") for (const option of [node.yes, node.no ?? []]) referencedGroups(option, found);
    else if ("body" in node) referencedGroups(node.body, found);
  }
  return found;
}

function isTextPlace(node: PatternNode | undefined, line: string, text: string): boolean {
  return node?.type === "place" && (node.place === text || (node.place === line && (node.flags & MULTILINE) === 0));
}

interface Surroundings {
  /** Inside a repeat: V8 forgets captures at each iteration, Python keeps the last. */
  readonly repeated: boolean;
  /** ... and an iteration may do without what is here. */
  readonly skippable: boolean;
  /** Inside a lookbehind, which V8 matches backwards. */
  readonly behind: boolean;
  /** How often V8 writes out what is here. */
  readonly copies: number;
}

const OUTERMOST: Surroundings = { repeated: false, skippable: false, behind: false, copies: 1 };

class Judge {
  /** Repeats without an upper bound. */
  unbounded = 0;
  /** Ways through everything else that leaves a choice. */
  ways = 1;
  #nodes = 0;
  /** Groups that have captured whenever the node at hand is reached. */
  #captured = new Set<number>();
  readonly #pattern: ParsedPattern;
  readonly #used: ReadonlySet<number>;

  constructor(pattern: ParsedPattern, usedGroups: ReadonlySet<number>) {
    this.#pattern = pattern;
    this.#used = usedGroups;
  }

  sequence(nodes: Sequence, around: Surroundings): string | undefined {
    for (const node of nodes) {
      this.#nodes += around.copies;
      const obstacle = this.#nodes > NODES_MAX ? "it is too large when written out" : this.#node(node, around);
      if (obstacle !== undefined) return obstacle;
    }
    return undefined;
  }

  #node(node: PatternNode, around: Surroundings): string | undefined {
    switch (node.type) {
      case "set":
      case "any":
      case "place":
        return undefined;
      case "group":
        return this.#group(node, around);
      case "branch":
        return this.#branch(node.options, around);
      case "look":
        return this.#maybe(node.negative, () => this.sequence(node.body, { ...around, behind: around.behind || node.behind }));
      case "atomic":
        return this.#atomic(node.body, around);
      case "repeat":
        return this.#repeat(node, around);
      case "backreference":
        return this.#backreference(node, around);
      case "conditional":
        return "it has conditions";
    }
  }

  /** Judges what need not happen, so that groups in it may not have captured behind it. */
  #maybe(isSkipped: boolean, judge: () => string | undefined): string | undefined {
    const before = this.#captured;
    if (isSkipped) this.#captured = new Set(before);
    const obstacle = judge();
    if (isSkipped) this.#captured = before;
    return obstacle;
  }

  #group({ index, body }: Extract<PatternNode, { type: "group" }>, around: Surroundings): string | undefined {
    if (index !== null && this.#used.has(index)) {
      if (around.behind) return "it captures inside a lookbehind";
      if (around.repeated && around.skippable) return "it captures in some iterations only";
    }
    const obstacle = this.sequence(body, around);
    if (index !== null) this.#captured.add(index);
    return obstacle;
  }

  #branch(options: readonly Sequence[], around: Surroundings): string | undefined {
    if (!areDistinct(options)) this.ways *= options.length;
    for (const option of options) {
      const obstacle = this.#maybe(true, () => this.sequence(option, { ...around, skippable: true }));
      if (obstacle !== undefined) return obstacle;
    }
    return undefined;
  }

  /** Written as a lookahead and a backreference to it, which reads the text once more. */
  #atomic(body: Sequence, around: Surroundings): string | undefined {
    if (around.behind) return "it has an atomic group inside a lookbehind";
    if (widthOf(body, this.#pattern.groupWidths).max > COUNT_MAX) this.unbounded += 1;
    return this.sequence(body, around);
  }

  #backreference({ group, flags }: Extract<PatternNode, { type: "backreference" }>, around: Surroundings): string | undefined {
    if ((flags & IGNORECASE) !== 0) return "it has a backreference that ignores case";
    if (around.behind) return "it has a backreference inside a lookbehind";
    // In JavaScript such a reference matches nothing, in Python it fails.
    if (!this.#captured.has(group)) return "it refers to a group that may not have taken part";
    this.unbounded += 1;
    return undefined;
  }

  #repeat(node: Extract<PatternNode, { type: "repeat" }>, around: Surroundings): string | undefined {
    const { min, max, mode, body } = node;
    if (min > COUNT_MAX || (max !== UNBOUNDED && max > COUNT_MAX)) return "it counts far";
    // In Python an iteration may be empty, and is then the last one; in JavaScript it may not.
    if (widthOf(body, this.#pattern.groupWidths).min === 0) return "it repeats what can be empty";
    if (max > 1 && mode !== "possessive" && !repeatsStraight(body)) return "it repeats what has choices of its own";
    if (mode === "possessive" && around.behind) return "it has a possessive repeat inside a lookbehind";
    if (max === UNBOUNDED) this.unbounded += mode === "possessive" ? 2 : 1;
    else this.ways *= max - min + 1;
    const inside = {
      ...around,
      repeated: around.repeated || max > 1,
      skippable: around.repeated && (around.skippable || min === 0),
      copies: around.copies * Math.max(min, max === UNBOUNDED ? 1 : max),
    };
    return this.#maybe(min === 0, () => this.sequence(body, inside));
  }
}
