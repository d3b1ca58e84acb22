/** How many characters a pattern can match; by CPython's rule, which lookbehinds depend on. Pure. */
import type { PatternNode, Sequence, Width } from "./pattern-nodes.ts";

/** CPython's cap (`MAXWIDTH`): sums stay finite, and two widths at the cap are equal. */
const WIDTH_MAX = 2 ** 64;

/** The width of nodes that follow each other; `groupWidths` are those of the groups closed before. */
export function widthOf(sequence: Sequence, groupWidths: readonly Width[]): Width {
  let [min, max] = [0, 0];
  for (const node of sequence) {
    const width = nodeWidth(node, groupWidths);
    min += width.min;
    max += width.max;
  }
  return { min: Math.min(min, WIDTH_MAX), max: Math.min(max, WIDTH_MAX) };
}

function nodeWidth(node: PatternNode, groupWidths: readonly Width[]): Width {
  switch (node.type) {
    case "set":
    case "any":
      return { min: 1, max: 1 };
    case "group":
    case "atomic":
      return widthOf(node.body, groupWidths);
    case "branch":
      return hull(node.options.map((option) => widthOf(option, groupWidths)));
    case "repeat": {
      const body = widthOf(node.body, groupWidths);
      const max = node.max === Number.POSITIVE_INFINITY ? (body.max === 0 ? 0 : WIDTH_MAX) : body.max * node.max;
      return { min: body.min * node.min, max };
    }
    case "backreference":
      return groupWidths[node.group] ?? { min: 0, max: WIDTH_MAX };
    case "conditional": {
      const yes = widthOf(node.yes, groupWidths);
      return node.no === null ? { min: 0, max: yes.max } : hull([yes, widthOf(node.no, groupWidths)]);
    }
    default:
      return { min: 0, max: 0 };
  }
}

function hull(widths: readonly Width[]): Width {
  return { min: Math.min(...widths.map(({ min }) => min)), max: Math.max(...widths.map(({ max }) => max)) };
}
