/** With which characters a match can begin: a search looks for one of them before it tries anything. */
import type { CharacterSet } from "./character-set.ts";
import type { PatternNode, Sequence } from "./pattern-nodes.ts";
import { setOf } from "./set-table.ts";

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
  const sets: CharacterSet[] = [];
  return collect(body, sets) === "consumes" ? new FirstCharacters(sets) : undefined;
}

/** What stands at the front: something that consumes a character, something that may be passed without, or something unclear. */
type Front = "consumes" | "passes" | "unclear";

function collect(sequence: Sequence, sets: CharacterSet[]): Front {
  for (const node of sequence) {
    const front = collectNode(node, sets);
    if (front !== "passes") return front;
  }
  return "passes";
}

function collectNode(node: PatternNode, sets: CharacterSet[]): Front {
  switch (node.type) {
    case "set":
    case "any":
      sets.push(setOf(node));
      return "consumes";
    case "place":
    case "look":
      return "passes";
    case "group":
    case "atomic":
      return collect(node.body, sets);
    case "branch":
      return node.options.map((option) => collect(option, sets)).reduce(weaker, "consumes");
    case "repeat": {
      const body = collect(node.body, sets);
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
