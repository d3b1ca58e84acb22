/** Text without which a pattern cannot match: looking for it first spares most keys the pattern. */
import { literalCode, type Sequence } from "./pattern-nodes.ts";

/** The longest literal run that every match contains; empty when there is none. */
export function requiredText(body: Sequence): string {
  let best = "";
  let run = "";
  const close = () => {
    if (run.length > best.length) best = run;
    run = "";
  };
  const visit = (sequence: Sequence) => {
    for (const node of sequence) {
      const code = literalCode(node);
      if (code !== undefined) run += String.fromCodePoint(code);
      else if (node.type === "group" || node.type === "atomic") visit(node.body);
      // What consumes nothing does not come between two characters.
      else if (node.type !== "place" && node.type !== "look") close();
    }
  };
  visit(body);
  close();
  return best;
}
