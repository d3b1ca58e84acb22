/** The character sets of one program, each once. */
import { CharacterSet } from "./character-set.ts";
import { DOTALL, type PatternNode } from "./pattern-nodes.ts";

/** Numbers sets in the order in which they are first asked for. */
export class SetTable {
  readonly sets: CharacterSet[] = [];
  readonly #numbers = new Map<string, number>();

  /** The number of the set that a node matches with one character. */
  numberOf(node: Extract<PatternNode, { type: "set" | "any" }>): number {
    const key = JSON.stringify(node);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.sets.push(setOf(node)) - 1);
    return this.sets.length - 1;
  }
}

/** The set that a node matches with one character; `.` is everything, or everything but a line feed. */
export function setOf(node: Extract<PatternNode, { type: "set" | "any" }>): CharacterSet {
  if (node.type === "set") return new CharacterSet(node.members, node.negate, node.flags);
  return new CharacterSet((node.flags & DOTALL) === 0 ? [{ type: "range", first: 10, last: 10 }] : [], true, 0);
}
