/** With which characters a match can begin: a search looks for one of them before it tries anything. */
import type { CharacterSet } from "./character-set.ts";
import type { PatternNode, Sequence } from "./pattern-nodes.ts";
import { setOf } from "./set-table.ts";

/** A node that matches one character. */
export type CharacterNode = Extract<PatternNode, { type: "set" | "any" }>;

/** The union of some sets. */
export class FirstCharacters {
  readonly #table = new Uint8Array(256);
  readonly #sets: readonly CharacterSet[];

  constructor(sets: readonly CharacterSet[]) {
    this.#sets = sets;
    for (let code = 0; code < 256; code += 1) this.#table[code] = sets.some((set) => set.has(code)) ? 1 : 0;
  }

  /** Whether a match can begin with a code point. */
  has(code: number): boolean {
    return code < 256 ? this.#table[code] === 1 : this.#sets.some((set) => set.has(code));
  }
}

/** The characters with which a match of these nodes can begin; undefined when it can be empty or that is not known. */
export function firstCharacters(body: Sequence): FirstCharacters | undefined {
  const { front, nodes } = frontOf(body);
  return front === "consumes" ? new FirstCharacters(nodes.map(setOf)) : undefined;
}

/** What stands at the front: something that consumes a character, something that may be passed without, or something unclear. */
export type Front = "consumes" | "passes" | "unclear";

/** What a match of these nodes can begin with; `nodes` tell the characters as far as they are known. */
export function frontOf(body: Sequence): { readonly front: Front; readonly nodes: readonly CharacterNode[] } {
  const nodes: CharacterNode[] = [];
  return { front: collect(body, nodes), nodes };
}

function collect(sequence: Sequence, nodes: CharacterNode[]): Front {
  for (const node of sequence) {
    const front = collectNode(node, nodes);
    if (front !== "passes") return front;
  }
  return "passes";
}

function collectNode(node: PatternNode, nodes: CharacterNode[]): Front {
  switch (node.type) {
    case "set":
    case "any":
      nodes.push(node);
      return "consumes";
    case "place":
    case "look":
      return "passes";
    case "group":
    case "atomic":
      return collect(node.body, nodes);
    case "branch":
      return node.options.map((option) => collect(option, nodes)).reduce(weaker, "consumes");
    case "repeat": {
      const body = collect(node.body, nodes);
      return node.min === 0 && body === "consumes" ? "passes" : body;
    }
    default:
      return "unclear";
  }
}

/** What holds for either of two ways. */
function weaker(a: Front, b: Front): Front {
  if (a === "unclear" || b === "unclear") return "unclear";
  return a === "passes" || b === "passes" ? "passes" : "consumes";
}
