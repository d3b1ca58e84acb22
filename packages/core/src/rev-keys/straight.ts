/**
 * Which patterns leave no choice: each next character tells how to go on. Repeating such a thing gives one way per number of iterations, where
 * anything else can give 2^n. Errs on the safe side.
 */
import { type CharacterNode, frontOf } from "./first-characters.ts";
import { ASCII, IGNORECASE, literalCode, type PatternNode, type Sequence } from "./pattern-nodes.ts";
import { setOf } from "./set-table.ts";

/** Whether a text can be cut into iterations of `body` in one way only. */
export function repeatsStraight(body: Sequence): boolean {
  return isStraight(body, charactersBehind(body, []));
}

/** More alternatives than these are not compared pair by pair. */
const PAIRED_MAX = 16;

/** Whether the first character tells the alternatives apart. */
export function areDistinct(options: readonly Sequence[]): boolean {
  const literals = options.map(firstLiteral);
  if (!literals.includes(undefined)) return new Set(literals).size === literals.length;
  const firsts = options.length <= PAIRED_MAX ? options.map(frontOf) : [];
  const consume = firsts.length > 0 && firsts.every(({ front }) => front === "consumes");
  return consume && firsts.every(({ nodes }, at) => firsts.slice(at + 1).every((other) => areDisjoint(nodes, other.nodes)));
}

/** `behind`: characters that can follow; undefined when that is not known. */
function isStraight(sequence: Sequence, behind: readonly CharacterNode[] | undefined): boolean {
  return sequence.every((node, at) => isStraightNode(node, charactersBehind(sequence.slice(at + 1), behind)));
}

function isStraightNode(node: PatternNode, behind: readonly CharacterNode[] | undefined): boolean {
  switch (node.type) {
    case "set":
    case "any":
    case "place":
    case "atomic":
      return true;
    case "group":
      return isStraight(node.body, behind);
    case "branch":
      return areDistinct(node.options) && node.options.every((option) => isStraight(option, behind));
    case "repeat": {
      const { front, nodes } = frontOf(node.body);
      if (front !== "consumes") return false;
      const decided = node.min === node.max || node.mode === "possessive" || (behind !== undefined && areDisjoint(nodes, behind));
      return decided && isStraight(node.body, behind && [...nodes, ...behind]);
    }
    default:
      return false;
  }
}

function charactersBehind(rest: Sequence, behind: readonly CharacterNode[] | undefined): readonly CharacterNode[] | undefined {
  const { front, nodes } = frontOf(rest);
  if (front === "unclear") return undefined;
  return front === "consumes" ? nodes : behind && [...nodes, ...behind];
}

function firstLiteral([first]: Sequence): number | undefined {
  return first?.type === "group" ? firstLiteral(first.body) : literalCode(first);
}

const ASCII_END = 0x80;

/** Whether no character is in both; only claimed when one side is ASCII throughout. */
function areDisjoint(some: readonly CharacterNode[], others: readonly CharacterNode[]): boolean {
  if (!some.every(isAscii) && !others.every(isAscii)) return false;
  const [one, other] = [some.map(setOf), others.map(setOf)];
  for (let code = 0; code < ASCII_END; code += 1) {
    if (one.some((set) => set.has(code)) && other.some((set) => set.has(code))) return false;
  }
  return true;
}

function isAscii(node: CharacterNode): boolean {
  if (node.type === "any" || node.negate) return false;
  const ascii = (node.flags & ASCII) !== 0;
  const folds = (node.flags & IGNORECASE) !== 0 && !ascii;
  return node.members.every((member) => (member.type === "range" ? member.last < ASCII_END && !folds : ascii && !member.negate));
}
