/** Rules about keys that a caller writes: globs and regular expressions. */

/** A glob (`*` any characters, dots included; `?` one character; the rest literal) or a regular expression that must match somewhere. */
export type KeyRule = string | RegExp;

/** A rule ready for use, with the text that reports show. */
export interface CompiledRule {
  readonly text: string;
  matches(key: string): boolean;
}

/** Compiles a rule. A `g` or `y` flag is dropped: such expressions remember where they stopped and would skip every other key. */
export function compileRule(rule: KeyRule): CompiledRule {
  if (typeof rule === "string") return { text: rule, matches: (key) => matchesGlob(rule, key) };
  const pattern = new RegExp(rule.source, rule.flags.replace(/[gy]/g, ""));
  return { text: String(rule), matches: (key) => pattern.test(key) };
}

/** Whether the glob covers the whole key. Backtracks to the last `*` only, so the time is at most their lengths multiplied. */
export function matchesGlob(glob: string, key: string): boolean {
  let at = 0;
  let inGlob = 0;
  let star = -1;
  let resume = 0;
  while (at < key.length) {
    const symbol = glob[inGlob];
    if (symbol === "*") {
      star = inGlob;
      inGlob += 1;
      resume = at;
    } else if (symbol === "?" || (symbol !== undefined && symbol === key[at])) {
      inGlob += 1;
      at += 1;
    } else if (star >= 0) {
      inGlob = star + 1;
      resume += 1;
      at = resume;
    } else return false;
  }
  while (glob[inGlob] === "*") inGlob += 1;
  return inGlob === glob.length;
}
