/** `re.sub` with our own matcher. */
import type { KeyText } from "./key-text.ts";
import type { Matcher, StepBudget } from "./match-program.ts";
import type { TemplatePart } from "./parse-template.ts";

/** Where at or behind a position a match can begin at the earliest; -1 for nowhere. */
export type NextCandidate = (from: number) => number;

/**
 * Replaces all matches, left to right, without overlap. After an empty match the same place is tried again for one that is not empty (CPython
 * 3.7 and newer): `x*` on `abxd` gives `-a-b--d-`. A group that took no part counts as empty.
 * @throws {RunawayPattern} when the budget is used up.
 */
export function substitute(
  matcher: Matcher,
  parts: readonly TemplatePart[],
  text: KeyText,
  budget: StepBudget,
  candidate?: NextCandidate,
): string | undefined {
  const { slots } = matcher;
  let result = "";
  let copied = 0;
  let found = false;
  let mustAdvance = false;
  for (;;) {
    const from = candidate ? candidate(copied) : copied;
    if (from < 0 || !matcher.search(text, from, mustAdvance, budget)) break;
    const begin = slots[0] as number;
    const end = slots[1] as number;
    result += text.slice(copied, begin);
    for (const part of parts) {
      if (typeof part === "string") result += part;
      else if (matcher.tookPart(part)) result += text.slice(slots[2 * part] as number, slots[2 * part + 1] as number);
    }
    found = true;
    copied = end;
    mustAdvance = begin === end;
  }
  return found ? result + text.slice(copied, text.length) : undefined;
}
