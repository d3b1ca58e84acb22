/** Conditions on a position of a text: `^`, `$`, `\b` and their like. */
import { inCategory } from "./character-set.ts";
import { PLACE } from "./program.ts";

const NEWLINE = 10;

/** Whether `position` of the first `length` of `codes` is such a place (an operand of PLACE). */
export function isAtPlace(place: number, codes: Uint32Array, length: number, position: number): boolean {
  switch (place) {
    case PLACE.TEXT_BEGIN:
      return position === 0;
    case PLACE.LINE_BEGIN:
      return position === 0 || codes[position - 1] === NEWLINE;
    case PLACE.TEXT_END:
      return position === length;
    case PLACE.NEAR_END:
      return position === length || (position === length - 1 && codes[position] === NEWLINE);
    case PLACE.LINE_END:
      return position === length || codes[position] === NEWLINE;
    default:
      return isAtBoundary(place, codes, length, position);
  }
}

/** In an empty text there is neither a boundary nor the absence of one (CPython before 3.14). */
function isAtBoundary(place: number, codes: Uint32Array, length: number, position: number): boolean {
  if (length === 0) return false;
  const ascii = place === PLACE.ASCII_BOUNDARY || place === PLACE.NOT_ASCII_BOUNDARY;
  const before = position > 0 && inCategory("word", codes[position - 1] as number, ascii);
  const behind = position < length && inCategory("word", codes[position] as number, ascii);
  const negate = place === PLACE.NOT_BOUNDARY || place === PLACE.NOT_ASCII_BOUNDARY;
  return (before !== behind) !== negate;
}
