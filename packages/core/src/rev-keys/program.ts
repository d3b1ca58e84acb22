/**
 * The instructions of the matcher in `match-program.ts`: a word for the operation, then its operands.
 *
 *     MATCH                                   done
 *     CHARACTER code                          one character
 *     SET set                                 one character of a set (ANY and ANY_BUT_NEWLINE are sets too)
 *     PLACE place                             a condition on the position
 *     SAVE slot                               the position into a slot
 *     JUMP target
 *     SPLIT first second memo                 first, and on failure second
 *     RUN set min max lazy memo               that many characters of a set
 *     LOOP_BEGIN slot                         count = 0, no iteration has begun anywhere
 *     LOOP slot min max lazy exit             another iteration, or exit (the body follows)
 *     LOOP_RETRY slot max body                what a lazy loop does when the way out has failed
 *     LOOP_NEXT slot loop                     count + 1, back to LOOP
 *     LOOK negative behind end                the body follows and ends with MATCH
 *     ATOMIC end                              the same
 *     BACKREFERENCE group fold                the text of a group again; fold: 0 exactly, 1 ignoring case, 2 ignoring ASCII case
 *     CONDITION group otherwise               on if the group took part, else to `otherwise`
 *
 * `memo` is a number in `Program.memos` for the choices whose failure depends on little more than the position, or -1.
 */
import type { CharacterSet } from "./character-set.ts";
import type { FirstCharacters } from "./first-characters.ts";

/** Operation words. */
export const OP = {
  MATCH: 0,
  CHARACTER: 1,
  SET: 2,
  PLACE: 3,
  SAVE: 4,
  JUMP: 5,
  SPLIT: 6,
  RUN: 7,
  LOOP_BEGIN: 8,
  LOOP: 9,
  LOOP_RETRY: 10,
  LOOP_NEXT: 11,
  LOOK: 12,
  ATOMIC: 13,
  BACKREFERENCE: 14,
  CONDITION: 15,
} as const;

/** Operands of PLACE. */
export const PLACE = {
  TEXT_BEGIN: 0,
  LINE_BEGIN: 1,
  TEXT_END: 2,
  /** At the end, or before a line feed that ends the text: `$` without (?m). */
  NEAR_END: 3,
  LINE_END: 4,
  BOUNDARY: 5,
  NOT_BOUNDARY: 6,
  ASCII_BOUNDARY: 7,
  NOT_ASCII_BOUNDARY: 8,
} as const;

/** No upper bound, as an operand. */
export const NO_MAX = 0x7fff_ffff;

/** What the failure of a choice depends on beside the position. */
export interface MemoKey {
  /** Number of the choice; one is added for the first loop whose iteration has consumed nothing so far, two for the second, and so on. */
  readonly choice: number;
  /** Slots of the loops around it. */
  readonly loops: readonly number[];
}

/** A pattern ready to run. */
export interface Program {
  readonly code: Int32Array;
  readonly sets: readonly CharacterSet[];
  /** Two per group, the whole match first, then two per counted loop. */
  readonly slots: number;
  /** What the memo operands stand for. */
  readonly memos: readonly MemoKey[];
  /** Values that they can give. */
  readonly memoChoices: number;
  readonly groupCount: number;
  /** The pattern matches at the beginning of the text or nowhere. */
  readonly anchored: boolean;
  /** With what a match begins; undefined when that is not known. */
  readonly first: FirstCharacters | undefined;
}
