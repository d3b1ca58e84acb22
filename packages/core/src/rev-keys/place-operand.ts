/** Which condition on a position a node means, its flags considered. */
import { ASCII, MULTILINE, type PatternNode } from "./pattern-nodes.ts";
import { PLACE } from "./program.ts";

/** The operand of PLACE for a node. */
export function placeOperand(node: Extract<PatternNode, { type: "place" }>): number {
  const multiline = (node.flags & MULTILINE) !== 0;
  const ascii = (node.flags & ASCII) !== 0;
  switch (node.place) {
    case "textBegin":
      return PLACE.TEXT_BEGIN;
    case "textEnd":
      return PLACE.TEXT_END;
    case "lineBegin":
      return multiline ? PLACE.LINE_BEGIN : PLACE.TEXT_BEGIN;
    case "lineEnd":
      return multiline ? PLACE.LINE_END : PLACE.NEAR_END;
    case "boundary":
      return ascii ? PLACE.ASCII_BOUNDARY : PLACE.BOUNDARY;
    case "notBoundary":
      return ascii ? PLACE.NOT_ASCII_BOUNDARY : PLACE.NOT_BOUNDARY;
  }
}
