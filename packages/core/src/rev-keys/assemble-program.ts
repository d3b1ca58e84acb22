/** From the nodes of a pattern to instructions. The order in which alternatives are tried is CPython's. */
import { firstCharacters } from "./first-characters.ts";
import { widthOf } from "./node-width.ts";
import {
  ASCII,
  IGNORECASE,
  literalCode,
  MULTILINE,
  type ParsedPattern,
  type PatternNode,
  type Sequence,
  UNBOUNDED,
} from "./pattern-nodes.ts";
import { placeOperand } from "./place-operand.ts";
import { type MemoKey, NO_MAX, OP, type Program } from "./program.ts";
import { SetTable } from "./set-table.ts";

/** Counted repeats are written out up to this many words: a loop that counts cannot use the memo. */
const UNROLLED_WORDS_MAX = 2000;
/** A choice inside so many nested loops of what can be empty is not worth remembering. */
const EMPTY_LOOPS_MAX = 4;

/** Assembles a pattern. Cannot fail: what cannot be matched was refused by the parser. */
export function assembleProgram(pattern: ParsedPattern): Program {
  const assembler = new Assembler(pattern);
  assembler.sequence(pattern.body);
  assembler.emit(OP.MATCH);
  const [begin] = pattern.body;
  const anchored =
    begin?.type === "place" && (begin.place === "textBegin" || (begin.place === "lineBegin" && (begin.flags & MULTILINE) === 0));
  return {
    code: Int32Array.from(assembler.code),
    sets: assembler.sets.sets,
    slots: assembler.slots,
    memos: assembler.memos,
    memoChoices: assembler.memoChoices,
    groupCount: pattern.groupCount,
    anchored,
    first: firstCharacters(pattern.body),
  };
}

class Assembler {
  readonly code: number[] = [];
  readonly sets = new SetTable();
  slots: number;
  readonly memos: MemoKey[] = [];
  /** Values of `memos` so far that a choice may have. */
  #memoChoices = 0;
  /** Slots of the loops around that iterate without counting but look whether an iteration was empty. */
  readonly #emptyLoops: number[] = [];
  readonly #pattern: ParsedPattern;
  /** Above 0 inside lookarounds, atomic groups and counted loops, where a failure may have other reasons than the position. */
  #contextual: number;

  constructor(pattern: ParsedPattern) {
    this.#pattern = pattern;
    this.slots = 2 * (pattern.groupCount + 1);
    this.#contextual = dependsOnGroups(pattern.body) ? 1 : 0;
  }

  emit(...words: number[]): number {
    const at = this.code.length;
    for (const word of words) this.code.push(word);
    return at;
  }

  sequence(nodes: Sequence): void {
    for (const node of nodes) this.#node(node);
  }

  #node(node: PatternNode): void {
    switch (node.type) {
      case "set":
      case "any":
        this.#character(node);
        break;
      case "place":
        this.emit(OP.PLACE, placeOperand(node));
        break;
      case "group":
        if (node.index !== null) this.emit(OP.SAVE, 2 * node.index);
        this.sequence(node.body);
        if (node.index !== null) this.emit(OP.SAVE, 2 * node.index + 1);
        break;
      case "branch":
        this.#branch(node.options);
        break;
      case "repeat":
        this.#repeat(node);
        break;
      case "look":
        this.#enclosed(OP.LOOK, node.body, [node.negative ? 1 : 0, node.behind ? widthOf(node.body, this.#pattern.groupWidths).min : -1]);
        break;
      case "atomic":
        this.#enclosed(OP.ATOMIC, node.body, []);
        break;
      case "backreference":
        this.emit(OP.BACKREFERENCE, node.group, (node.flags & IGNORECASE) === 0 ? 0 : (node.flags & ASCII) === 0 ? 1 : 2);
        break;
      case "conditional":
        this.#conditional(node.group, node.yes, node.no ?? []);
        break;
    }
  }

  #character(node: Extract<PatternNode, { type: "set" | "any" }>): void {
    const code = literalCode(node);
    if (code === undefined) this.emit(OP.SET, this.sets.numberOf(node));
    else this.emit(OP.CHARACTER, code);
  }

  #branch(options: readonly Sequence[]): void {
    const ends: number[] = [];
    options.forEach((option, at) => {
      if (at === options.length - 1) {
        this.sequence(option);
        return;
      }
      const split = this.#split();
      this.#patch(split + 1, this.code.length);
      this.sequence(option);
      ends.push(this.emit(OP.JUMP, 0) + 1);
      this.#patch(split + 2, this.code.length);
    });
    for (const end of ends) this.#patch(end, this.code.length);
  }

  #repeat(node: Extract<PatternNode, { type: "repeat" }>): void {
    const { min, max, mode } = node;
    const body = unwrap(node.body);
    if (mode === "possessive") {
      // Each iteration is final as soon as it is done, and so is their number.
      this.#enclosed(OP.ATOMIC, [{ type: "repeat", min, max, mode: "greedy", body: [{ type: "atomic", body }] }], []);
      return;
    }
    const lazy = mode === "lazy";
    const [only] = body;
    if (max === 0) return;
    if (body.length === 1 && (only?.type === "set" || only?.type === "any")) {
      this.emit(OP.RUN, this.sets.numberOf(only), clamp(min), clamp(max), lazy ? 1 : 0, this.#memo());
    } else if (min === 0 && max === 1) {
      this.#optional(lazy, () => this.sequence(body));
    } else if (widthOf(body, this.#pattern.groupWidths).min > 0 && this.#isShort(body, min, max)) {
      this.#unrolled(body, min, max, lazy);
    } else {
      this.#counted(body, min, max, lazy);
    }
  }

  /** Whether writing the iterations out, one behind the other, stays small. */
  #isShort(body: Sequence, min: number, max: number): boolean {
    const copies = max === UNBOUNDED ? Math.max(min, 1) : max;
    if (copies === 1) return true;
    const trial = new Assembler(this.#pattern);
    trial.sequence(body);
    return copies * (trial.code.length + 4) <= UNROLLED_WORDS_MAX;
  }

  /** `X{2,4}` as `XX(X(X)?)?` and `X{2,}` as `X` and a last one that repeats. Only right when X cannot be empty. */
  #unrolled(body: Sequence, min: number, max: number, lazy: boolean): void {
    const once = max === UNBOUNDED && min > 0 ? min - 1 : min;
    for (let turn = 0; turn < once; turn += 1) this.sequence(body);
    if (max !== UNBOUNDED) {
      this.#nestedOptionals(body, max - min, lazy);
    } else if (min > 0) {
      const begin = this.code.length;
      this.sequence(body);
      const split = this.#split();
      this.#order(split, lazy, begin, this.code.length);
    } else {
      const split = this.#split();
      const begin = this.code.length;
      this.sequence(body);
      this.emit(OP.JUMP, split);
      this.#order(split, lazy, begin, this.code.length);
    }
  }

  /** All ways out lead to the same place, so they are patched together instead of nesting calls. */
  #nestedOptionals(body: Sequence, count: number, lazy: boolean): void {
    const splits: [number, number][] = [];
    for (let turn = 0; turn < count; turn += 1) {
      splits.push([this.#split(), this.code.length]);
      this.sequence(body);
    }
    for (const [split, begin] of splits) this.#order(split, lazy, begin, this.code.length);
  }

  #optional(lazy: boolean, body: () => void): void {
    const split = this.#split();
    const begin = this.code.length;
    body();
    this.#order(split, lazy, begin, this.code.length);
  }

  /** A loop that counts, and that stops after an iteration that consumed nothing. */
  #counted(body: Sequence, min: number, max: number, lazy: boolean): void {
    const slot = this.slots;
    this.slots += 2;
    // With no bounds to count for, all that the rest of an iteration depends on is whether it has consumed something.
    const counts = min > 1 || max !== UNBOUNDED;
    if (counts) this.#contextual += 1;
    else this.#emptyLoops.push(slot);
    this.emit(OP.LOOP_BEGIN, slot);
    const loop = this.emit(OP.LOOP, slot, clamp(min), clamp(max), lazy ? 1 : 0, 0);
    // A lazy loop that could not go on outside comes back to the instruction behind LOOP; a greedy one skips it.
    this.emit(OP.LOOP_RETRY, slot, clamp(max));
    this.sequence(body);
    this.emit(OP.LOOP_NEXT, slot, loop);
    this.#patch(loop + 5, this.code.length);
    if (counts) this.#contextual -= 1;
    else this.#emptyLoops.pop();
  }

  #enclosed(operation: number, body: Sequence, operands: readonly number[]): void {
    const at = this.emit(operation, ...operands, 0);
    this.#contextual += 1;
    this.sequence(body);
    this.#contextual -= 1;
    this.emit(OP.MATCH);
    this.#patch(at + 1 + operands.length, this.code.length);
  }

  #conditional(group: number, yes: Sequence, no: Sequence): void {
    const at = this.emit(OP.CONDITION, group, 0);
    this.sequence(yes);
    const jump = this.emit(OP.JUMP, 0);
    this.#patch(at + 2, this.code.length);
    this.sequence(no);
    this.#patch(jump + 1, this.code.length);
  }

  #split(): number {
    return this.emit(OP.SPLIT, 0, 0, this.#memo());
  }

  #order(split: number, lazy: boolean, begin: number, exit: number): void {
    this.#patch(split + 1, lazy ? exit : begin);
    this.#patch(split + 2, lazy ? begin : exit);
  }

  #patch(at: number, word: number): void {
    this.code[at] = word;
  }

  #memo(): number {
    if (this.#contextual > 0 || this.#emptyLoops.length > EMPTY_LOOPS_MAX) return -1;
    this.memos.push({ choice: this.#memoChoices, loops: [...this.#emptyLoops] });
    this.#memoChoices += 2 ** this.#emptyLoops.length;
    return this.memos.length - 1;
  }

  /** How many different choices the memo tells apart. */
  get memoChoices(): number {
    return this.#memoChoices;
  }
}

/** Without groups that only hold together. */
function unwrap(body: Sequence): Sequence {
  let inner = body;
  for (let [only] = inner; inner.length === 1 && only?.type === "group" && only.index === null; [only] = inner) inner = only.body;
  return inner;
}

function clamp(count: number): number {
  return Math.min(count, NO_MAX);
}

/** Whether matching anywhere asks what a group has captured. */
export function dependsOnGroups(sequence: Sequence): boolean {
  return sequence.some((node) => {
    if (node.type === "backreference" || node.type === "conditional") return true;
    if (node.type === "branch") return node.options.some(dependsOnGroups);
    return "body" in node && dependsOnGroups(node.body);
  });
}
