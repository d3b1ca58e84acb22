/** Slurm's two compressed lists: task counts (`2(x4),3`) and host names (`n[0-3,7],login`). Formats: man pages srun(1), scontrol(1). */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

/** Slurm itself allows 65,533 nodes in a job (MAX_SLURM_NODES of slurm.h is 64 Ki). */
const NODES_MAX = 65_536;
const LIST_CHARACTERS_MAX = 1 << 20;

/**
 * Tasks per node: `2(x4),3` is 2, 2, 2, 2, 3.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES naming `variable` when the text is something else.
 */
export function expandTaskCounts(text: string, variable: string): number[] {
  const counts: number[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d{1,9})(?:\(x(\d{1,6})\))?$/.exec(part);
    if (match === null) throw malformed(variable, text, "counts like 2(x4),3");
    const repeat = Number(match[2] ?? 1);
    if (counts.length + repeat > NODES_MAX) throw malformed(variable, text, `at most ${NODES_MAX} nodes`);
    for (let node = 0; node < repeat; node += 1) counts.push(Number(match[1]));
  }
  return counts;
}

/**
 * Host names in node order: `n[0-1,07]x,login` is n0x, n1x, n07x, login. Several brackets in one name multiply, the last varying fastest.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES naming `variable` when the text is something else.
 */
export function expandHostList(text: string, variable: string): string[] {
  if (text.length > LIST_CHARACTERS_MAX) throw malformed(variable, text, `at most ${LIST_CHARACTERS_MAX} characters`);
  const hosts: string[] = [];
  for (const pattern of splitOutsideBrackets(text)) {
    // name, bracket, name, bracket, ..., name
    const pieces = pattern.split(/\[([^[\]]*)\]/);
    if (pattern === "" || pieces.some((piece, at) => at % 2 === 0 && /[[\]]/.test(piece)))
      throw malformed(variable, text, "hosts like n[0-3,7]");
    let names = [""];
    for (const [at, piece] of pieces.entries()) {
      const endings = at % 2 === 0 ? [piece] : expandRanges(piece, text, variable);
      if (hosts.length + names.length * endings.length > NODES_MAX) throw malformed(variable, text, `at most ${NODES_MAX} nodes`);
      names = names.flatMap((name) => endings.map((ending) => name + ending));
    }
    hosts.push(...names);
  }
  return hosts;
}

function splitOutsideBrackets(text: string): string[] {
  const parts: string[] = [];
  let begin = 0;
  let inside = false;
  for (let at = 0; at <= text.length; at += 1) {
    const character = text[at];
    if (character === "[") inside = true;
    else if (character === "]") inside = false;
    else if (character === undefined || (character === "," && !inside)) {
      parts.push(text.slice(begin, at));
      begin = at + 1;
    }
  }
  return parts;
}

/** `0-3,7` with the width of the first number kept: `08-10` is 08, 09, 10. */
function expandRanges(ranges: string, text: string, variable: string): string[] {
  const numbers: string[] = [];
  for (const range of ranges.split(",")) {
    const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(range);
    if (match === null) throw malformed(variable, text, "hosts like n[0-3,7]");
    const [, first = "", last = first] = match;
    if (Number(last) < Number(first) || numbers.length + Number(last) - Number(first) >= NODES_MAX) {
      throw malformed(variable, text, `rising ranges of at most ${NODES_MAX} nodes`);
    }
    for (let number = Number(first); number <= Number(last); number += 1) numbers.push(String(number).padStart(first.length, "0"));
  }
  return numbers;
}

function malformed(variable: string, text: string, expected: string): UsageError {
  return new UsageError("RANKCAST_RANK_VARIABLES", `${variable}: expected ${expected}, found ${quote(text)}`, {
    details: { variables: [variable] },
  });
}
