/** One rule in Python's language, compiled to the fastest of three forms that means the same. */
import { assembleProgram } from "./assemble-program.ts";
import { isWithinBound } from "./javascript-fitness.ts";
import { javascriptRewrite } from "./javascript-rewrite.ts";
import { KeyText } from "./key-text.ts";
import { literalRewrite, type Rewrite } from "./literal-rewrite.ts";
import { Matcher, type StepBudget } from "./match-program.ts";
import { type MatchSuperset, matchSuperset } from "./match-superset.ts";
import { parsePattern } from "./parse-pattern.ts";
import { parseTemplate, type TemplatePart } from "./parse-template.ts";
import type { ParsedPattern } from "./pattern-nodes.ts";
import { requiredText } from "./required-text.ts";
import { substitute } from "./substitute.ts";

/** A rule that can be applied. */
export interface PythonRule {
  /** `literal`: text comparison. `v8`: a JavaScript pattern, for keys up to `v8LengthMax`. `matcher`: our own, always. */
  readonly form: "literal" | "v8" | "matcher";
  readonly v8LengthMax: number;
  readonly warnings: readonly string[];
  /**
   * The key with all matches replaced.
   * @throws {RunawayPattern} when the budget is used up.
   */
  rewrite(key: string, budget: StepBudget): string;
}

/** What tests may ask for, to see the matcher where a faster form would serve. */
export interface RuleForms {
  readonly onlyMatcher?: boolean;
  /** The matcher remembers failures from the start, not only when a search drags. */
  readonly eagerMemo?: boolean;
}

/**
 * Compiles a pattern and its replacement.
 * @throws {PatternFault} for what CPython refuses or we cannot express.
 */
export function compilePythonRule(pattern: string, replacement: string, forms: RuleForms = {}): PythonRule {
  const parsed = parsePattern(pattern);
  const { parts, warnings } = parseTemplate(replacement, parsed.groupCount, parsed.groupNames);
  const slow = matcherRewrite(parsed, parts, forms);
  if (forms.onlyMatcher) return { form: "matcher", v8LengthMax: 0, warnings, rewrite: slow };
  const literal = literalRewrite(parsed.body, parts, slow);
  if (literal) return { form: "literal", v8LengthMax: 0, warnings, rewrite: literal };
  const text = requiredText(parsed.body);
  const guard = (rewrite: Rewrite): Rewrite => (text === "" ? rewrite : (key, budget) => (key.includes(text) ? rewrite(key, budget) : key));
  const fast = javascriptRewrite(parsed, parts);
  if (!fast)
    return { form: "matcher", v8LengthMax: 0, warnings, rewrite: guard(matcherRewrite(parsed, parts, forms, matchSuperset(parsed))) };
  const { rewrite, fitness } = fast;
  return {
    form: "v8",
    v8LengthMax: fitness.lengthMax,
    warnings,
    rewrite: guard((key, budget) => (isWithinBound(key, fitness) ? rewrite(key, budget) : slow(key, budget))),
  };
}

/** `superset` spares the matcher what it cannot match. */
function matcherRewrite(parsed: ParsedPattern, parts: readonly TemplatePart[], forms: RuleForms, superset?: MatchSuperset): Rewrite {
  let matcher: Matcher | undefined;
  return (key, budget) => {
    const isNarrowed = superset !== undefined && isWithinBound(key, superset.fitness);
    if (isNarrowed && superset.next(key, 0) < 0) return key;
    matcher ??= new Matcher(assembleProgram(parsed), forms);
    TEXT.set(key);
    const candidate = isNarrowed && TEXT.plain ? (from: number) => superset.next(key, from) : undefined;
    return substitute(matcher, parts, TEXT, budget, candidate) ?? key;
  };
}

/** One buffer for all rules: rewriting is synchronous, so only one key is in it at a time. */
const TEXT = new KeyText();
