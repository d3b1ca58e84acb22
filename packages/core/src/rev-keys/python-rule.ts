/** One rule in Python's language, compiled to the fastest of three forms that means the same. */
import { assembleProgram } from "./assemble-program.ts";
import { javascriptFitness } from "./javascript-fitness.ts";
import { toJavaScript } from "./javascript-pattern.ts";
import { KeyText } from "./key-text.ts";
import { literalRewrite, type Rewrite } from "./literal-rewrite.ts";
import { Matcher, type StepBudget } from "./match-program.ts";
import { parsePattern } from "./parse-pattern.ts";
import { parseTemplate, type TemplatePart } from "./parse-template.ts";
import { type ParsedPattern, UNBOUNDED } from "./pattern-nodes.ts";
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
  const { rewrite, lengthMax } = javascriptRewrite(parsed, parts, slow);
  const text = requiredText(parsed.body);
  const guarded: Rewrite = text === "" ? rewrite : (key, budget) => (key.includes(text) ? rewrite(key, budget) : key);
  return { form: lengthMax > 0 ? "v8" : "matcher", v8LengthMax: lengthMax, warnings, rewrite: guarded };
}

function matcherRewrite(parsed: ParsedPattern, parts: readonly TemplatePart[], forms: RuleForms): Rewrite {
  let matcher: Matcher | undefined;
  return (key, budget) => {
    matcher ??= new Matcher(assembleProgram(parsed), forms);
    TEXT.set(key);
    return substitute(matcher, parts, TEXT, budget) ?? key;
  };
}

/** One buffer for all rules: rewriting is synchronous, so only one key is in it at a time. */
const TEXT = new KeyText();

function javascriptRewrite(parsed: ParsedPattern, parts: readonly TemplatePart[], slow: Rewrite): { rewrite: Rewrite; lengthMax: number } {
  const used = new Set(parts.filter((part) => typeof part === "number"));
  const { obstacle, lengthMax } = javascriptFitness(parsed, used);
  const written = obstacle === undefined ? toJavaScript(parsed.body, used) : undefined;
  if (!written) return { rewrite: slow, lengthMax: 0 };
  const pattern = new RegExp(written.source, "gu");
  const fill = parts.map((part) => (typeof part === "string" || part === 0 ? part : (written.groups.get(part) as number)));
  const fast: Rewrite = (key) => {
    pattern.lastIndex = 0;
    let match = pattern.exec(key);
    if (match === null) return key;
    let result = "";
    let copied = 0;
    for (; match !== null; match = pattern.exec(key)) {
      result += key.slice(copied, match.index);
      for (const part of fill) result += typeof part === "string" ? part : (match[part] ?? "");
      copied = pattern.lastIndex;
    }
    return result + key.slice(copied);
  };
  if (lengthMax === UNBOUNDED) return { rewrite: fast, lengthMax };
  return { rewrite: (key, budget) => (key.length <= lengthMax ? fast(key, budget) : slow(key, budget)), lengthMax };
}
