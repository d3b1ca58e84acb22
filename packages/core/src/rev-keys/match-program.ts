/**
 * Runs the instructions of a pattern by backtracking, in CPython's order, on a stack of its own and under a budget of steps.
 *
 * Why not V8 alone: CPython's rules for empty iterations, captures inside repeats, groups that took no part, and conditionals cannot be
 * expressed in a JavaScript pattern; and V8 cannot be stopped. Here a pattern that runs away is stopped after so many steps, and most
 * need not be, thanks to `FailureMemo`.
 */
import { BacktrackStack, ENTRY } from "./backtrack-stack.ts";
import { lowerCase } from "./case-mapping.ts";
import type { CharacterSet } from "./character-set.ts";
import { FailureMemo } from "./failure-memo.ts";
import { isAtPlace } from "./is-at-place.ts";
import { type MemoKey, OP, type Program } from "./program.ts";

/** Steps that are left; shared by everything that has to fit into them. */
export interface StepBudget {
  left: number;
}

/** Thrown when the budget is used up. */
export class RunawayPattern extends Error {}

/** The text to search, as code points. */
export interface CodePoints {
  readonly codes: Uint32Array;
  readonly length: number;
}

/** Matches one program. It keeps its stack and slots between calls. */
export class Matcher {
  /** Begin and end of each group after a successful search, the whole match first; see `tookPart`. */
  readonly slots: Int32Array;
  readonly #program: Program;
  readonly #stack = new BacktrackStack();
  readonly #memo: FailureMemo;
  #codes: Uint32Array = new Uint32Array(0);
  #length = 0;
  #budget: StepBudget = { left: 0 };
  /** Where the instruction at hand left off, and where backtracking resumes. */
  #position = 0;
  /** An empty match here does not count; -1 for none. */
  #refused = -1;

  constructor(program: Program, options: { readonly eagerMemo?: boolean } = {}) {
    this.#program = program;
    this.#memo = new FailureMemo(program.memoChoices, options.eagerMemo);
    this.slots = new Int32Array(program.slots);
  }

  /**
   * Finds the first match at or behind `from`; `slots` then hold its groups. With `mustAdvance` a match at `from` itself must not be empty,
   * which is what `re.sub` asks for after an empty one.
   * @throws {RunawayPattern} when the budget is used up.
   */
  search({ codes, length }: CodePoints, from: number, mustAdvance: boolean, budget: StepBudget): boolean {
    this.#codes = codes;
    this.#length = length;
    this.#budget = budget;
    this.#memo.begin(length);
    const { anchored, first } = this.#program;
    const last = anchored ? 0 : length;
    // A run that fails undoes every assignment, so this holds for all attempts.
    this.slots.fill(-1);
    this.#stack.height = 0;
    for (let begin = from; begin <= last; begin += 1) {
      if (first && !(begin < length && first.has(codes[begin] as number))) continue;
      this.#refused = mustAdvance && begin === from ? begin : -1;
      if (!this.#run(0, begin, true)) continue;
      this.slots[0] = begin;
      this.slots[1] = this.#position;
      return true;
    }
    return false;
  }

  /** Whether a group took part in the match. An end that lies before the begin is left over from an earlier iteration. */
  tookPart(group: number): boolean {
    const begin = this.slots[2 * group] as number;
    return begin >= 0 && (this.slots[2 * group + 1] as number) >= begin;
  }

  /** Runs from one instruction to MATCH, and leaves the position there in `#position`. What has to be undone stays on the stack. */
  #run(beginAt: number, beginPosition: number, outermost: boolean): boolean {
    const base = this.#stack.height;
    this.#position = beginPosition;
    for (let at = beginAt; ; ) {
      this.#budget.left -= 1;
      if (this.#budget.left < 0) throw new RunawayPattern();
      if (this.#program.code[at] !== OP.MATCH) at = this.#step(at, this.#position);
      else if (!outermost || this.#position !== this.#refused) return true;
      else at = FAILED;
      if (at === FAILED) at = this.#backtrack(base);
      if (at === FAILED) return false;
    }
  }

  /** Carries one instruction out; gives the next one, or FAILED. */
  #step(at: number, position: number): number {
    const { code, sets } = this.#program;
    const operand = code[at + 1] as number;
    switch (code[at]) {
      case OP.CHARACTER:
        if (position >= this.#length || this.#codes[position] !== operand) return FAILED;
        this.#position = position + 1;
        return at + 2;
      case OP.SET:
        if (position >= this.#length || !(sets[operand] as CharacterSet).has(this.#codes[position] as number)) return FAILED;
        this.#position = position + 1;
        return at + 2;
      case OP.PLACE:
        return isAtPlace(operand, this.#codes, this.#length, position) ? at + 2 : FAILED;
      case OP.SAVE:
        return this.#assign(operand, position, at + 2);
      case OP.JUMP:
        return operand;
      case OP.SPLIT:
        if (!this.#isNew(code[at + 3] as number, position)) return FAILED;
        this.#stack.push(ENTRY.CHOICE, code[at + 2] as number, position, 0);
        return operand;
      case OP.RUN:
        return this.#beginRun(at, position);
      case OP.LOOP_BEGIN:
        this.#assign(operand + 1, -1, 0);
        return this.#assign(operand, 0, at + 2);
      case OP.LOOP:
        return this.#loop(at, position);
      case OP.LOOP_RETRY:
        if ((this.slots[operand] as number) >= (code[at + 2] as number) || this.slots[operand + 1] === position) return FAILED;
        return this.#assign(operand + 1, position, at + 3);
      case OP.LOOP_NEXT:
        return this.#assign(operand, (this.slots[operand] as number) + 1, code[at + 2] as number);
      case OP.LOOK:
        return this.#look(at, position);
      case OP.ATOMIC:
        return this.#atomic(at, position);
      case OP.BACKREFERENCE:
        return this.#repeatGroup(at, position);
      default:
        return this.tookPart(operand) ? at + 3 : (code[at + 2] as number);
    }
  }

  /** Takes the last choice above `base` back; gives the instruction to go on with, or FAILED. */
  #backtrack(base: number): number {
    const stack = this.#stack;
    while (stack.height > base) {
      stack.pop();
      const { kind, first, second, third } = stack;
      if (kind === ENTRY.RESTORE) {
        this.slots[first] = second;
      } else if (kind === ENTRY.CHOICE) {
        this.#position = second;
        return first;
      } else if (kind === ENTRY.SHORTER_RUN) {
        if (second - 1 > third) stack.push(ENTRY.SHORTER_RUN, first, second - 1, third);
        this.#position = second - 1;
        return first;
      } else if (second < this.#length && this.#setAt(first).has(this.#codes[second] as number)) {
        if (third > 1) stack.push(ENTRY.LONGER_RUN, first, second + 1, third - 1);
        this.#position = second + 1;
        return first + RUN_WORDS;
      }
    }
    return FAILED;
  }

  #assign(slot: number, value: number, next: number): number {
    this.#stack.push(ENTRY.RESTORE, slot, this.slots[slot] as number, 0);
    this.slots[slot] = value;
    return next;
  }

  /** Whether a choice may still succeed here. */
  #isNew(memo: number, position: number): boolean {
    if (memo < 0) return true;
    const { choice, loops } = this.#program.memos[memo] as MemoKey;
    let number = choice;
    for (let at = 0; at < loops.length; at += 1) if (this.slots[(loops[at] as number) + 1] === position) number += 1 << at;
    return this.#memo.isNew(number, position);
  }

  #setAt(at: number): CharacterSet {
    return this.#program.sets[this.#program.code[at + 1] as number] as CharacterSet;
  }

  /** Takes as many characters as the run wants at first: all it can, or the fewest when it is lazy. */
  #beginRun(at: number, position: number): number {
    const { code } = this.#program;
    if (!this.#isNew(code[at + 5] as number, position)) return FAILED;
    const set = this.#setAt(at);
    const min = code[at + 2] as number;
    const max = code[at + 3] as number;
    const lazy = code[at + 4] === 1;
    const limit = Math.min(this.#length, position + (lazy ? min : max));
    let end = position;
    while (end < limit && set.has(this.#codes[end] as number)) end += 1;
    this.#budget.left -= (end - position) >> 2;
    if (end < position + min) return FAILED;
    if (lazy && max > min) this.#stack.push(ENTRY.LONGER_RUN, at, end, max - min);
    if (!lazy && end > position + min) this.#stack.push(ENTRY.SHORTER_RUN, at + RUN_WORDS, end, position + min);
    this.#position = end;
    return at + RUN_WORDS;
  }

  #loop(at: number, position: number): number {
    const { code } = this.#program;
    const slot = code[at + 1] as number;
    const count = this.slots[slot] as number;
    const exit = code[at + 5] as number;
    const retry = at + LOOP_WORDS;
    if (count < (code[at + 2] as number)) return retry + LOOP_RETRY_WORDS;
    if (code[at + 4] === 1) {
      this.#stack.push(ENTRY.CHOICE, retry, position, 0);
      return exit;
    }
    // An iteration that consumed nothing is the last one.
    if (count >= (code[at + 3] as number) || this.slots[slot + 1] === position) return exit;
    this.#stack.push(ENTRY.CHOICE, exit, position, 0);
    return this.#assign(slot + 1, position, retry + LOOP_RETRY_WORDS);
  }

  #look(at: number, position: number): number {
    const { code } = this.#program;
    const negative = code[at + 1] === 1;
    const behind = code[at + 2] as number;
    const base = this.#stack.height;
    const begin = behind < 0 ? position : position - behind;
    const found = begin >= 0 && this.#run(at + 4, begin, false);
    // Captures of a positive one stay, those of a negative one never happened.
    this.#stack.keepRestores(base);
    if (found && negative) this.#backtrack(base);
    this.#position = position;
    return found === negative ? FAILED : (code[at + 3] as number);
  }

  #atomic(at: number, position: number): number {
    const base = this.#stack.height;
    if (!this.#run(at + 2, position, false)) return FAILED;
    this.#stack.keepRestores(base);
    return this.#program.code[at + 1] as number;
  }

  #repeatGroup(at: number, position: number): number {
    const { code } = this.#program;
    const group = code[at + 1] as number;
    const fold = code[at + 2] as number;
    if (!this.tookPart(group)) return FAILED;
    const begin = this.slots[2 * group] as number;
    const size = (this.slots[2 * group + 1] as number) - begin;
    if (position + size > this.#length) return FAILED;
    this.#budget.left -= size >> 2;
    for (let offset = 0; offset < size; offset += 1) {
      const wanted = this.#codes[begin + offset] as number;
      const found = this.#codes[position + offset] as number;
      if (found !== wanted && (fold === 0 || lowerCase(found, fold === 2) !== lowerCase(wanted, fold === 2))) return FAILED;
    }
    this.#position = position + size;
    return at + 3;
  }
}

/** No instruction. */
const FAILED = -1;
/** Lengths of instructions with their operands. */
const RUN_WORDS = 6;
const LOOP_WORDS = 6;
const LOOP_RETRY_WORDS = 3;
