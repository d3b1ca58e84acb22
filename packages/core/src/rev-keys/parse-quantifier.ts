/** Quantifiers: `*`, `+?`, `{2,5}+`. */
import { PatternFault } from "./pattern-fault.ts";
import { type Flags, literal, type PatternNode, type RepeatMode, UNBOUNDED } from "./pattern-nodes.ts";
import { DIGITS, lengthOf, type Tokens } from "./tokens.ts";

/** CPython's `MAXREPEAT` on 64-bit machines. */
const REPEAT_MAX = 4_294_967_295;

/**
 * Puts a repeat of the last node in its place, or a literal `{` that is no quantifier behind it. `token`, one of `*+?{`, has just been taken.
 * @throws {PatternFault} with CPython's text when there is nothing to repeat, a quantifier already, or the bounds make no sense.
 */
export function parseQuantifier(tokens: Tokens, token: string, nodes: PatternNode[], flags: Flags): void {
  const here = tokens.position;
  const bounds = token === "{" ? parseBounds(tokens, here) : BOUNDS.get(token);
  if (!bounds) {
    nodes.push(literal(0x7b, flags));
    return;
  }
  const repeated = nodes.at(-1);
  const back = tokens.position - here + lengthOf(token);
  if (!repeated || repeated.type === "place") throw tokens.fault("nothing to repeat", back);
  if (repeated.type === "repeat") throw tokens.fault("multiple repeat", back);
  const mode: RepeatMode = tokens.match("?") ? "lazy" : tokens.match("+") ? "possessive" : "greedy";
  nodes[nodes.length - 1] = { type: "repeat", min: bounds[0], max: bounds[1], mode, body: [repeated] };
}

const BOUNDS: ReadonlyMap<string, readonly [number, number]> = new Map([
  ["?", [0, 1]],
  ["*", [0, UNBOUNDED]],
  ["+", [1, UNBOUNDED]],
]);

/** What stands behind `{`; undefined, and nothing taken, when that is no quantifier. */
function parseBounds(tokens: Tokens, here: number): readonly [number, number] | undefined {
  if (tokens.next === "}") return undefined;
  const low = tokens.takeWhile(Number.POSITIVE_INFINITY, DIGITS);
  const high = tokens.match(",") ? tokens.takeWhile(Number.POSITIVE_INFINITY, DIGITS) : low;
  if (!tokens.match("}")) {
    tokens.seek(here);
    return undefined;
  }
  const min = low === "" ? 0 : Number(low);
  const max = high === "" ? UNBOUNDED : Number(high);
  if (min >= REPEAT_MAX || (high !== "" && max >= REPEAT_MAX)) throw new PatternFault("the repetition number is too large");
  if (max < min) throw tokens.fault("min repeat greater than max repeat", tokens.position - here);
  return [min, max];
}
