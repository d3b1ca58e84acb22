/** From the user's list of rules to rules that can be applied; all checks happen here, before the first key. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import type { StepBudget } from "./match-program.ts";
import { PatternFault } from "./pattern-fault.ts";
import { compilePythonRule } from "./python-rule.ts";
import { lengthOf } from "./tokens.ts";

/** A replacement in JavaScript's sense: a string with `$1`, or a function of the match. */
export type JavaScriptReplacement = string | ((match: string, ...rest: never[]) => string);
/** One rule: two strings mean Python's `re.sub(pattern, replacement, key)`, a RegExp means JavaScript's `key.replace(pattern, replacement)`. */
export type RevKey = readonly [pattern: string, replacement: string] | readonly [pattern: RegExp, replacement: JavaScriptReplacement];
/** Rules, applied one after the other to every key. */
export type RevKeys = readonly RevKey[];

/** What vis4d and mmengine apply when nothing is said: the prefix that DataParallel and DistributedDataParallel put before every name. */
export const DEFAULT_REV_KEYS: RevKeys = [["^module\\.", ""]];

/** A rule that can be applied. */
export interface CompiledRule {
  /** Position in the list, from 0. */
  readonly index: number;
  /** `quote`d pattern, for messages. */
  readonly shown: string;
  readonly replacement: string;
  /** How it is run; `regexp` is a RegExp of the user's, which only the clock can stop. */
  readonly form: "literal" | "v8" | "matcher" | "regexp";
  /**
   * One key rewritten.
   * @throws {RunawayPattern} when the budget is used up.
   */
  rewrite(key: string, budget: StepBudget): string;
}

/** A compiled list. It belongs to the thread that compiled it; other threads compile `source` themselves. */
export interface CompiledRevKeys {
  readonly source: RevKeys;
  readonly rules: readonly CompiledRule[];
  /** Things that are legal but surely not meant, for the report. */
  readonly warnings: readonly string[];
  readonly limits: RevKeyLimits;
}

/** The limits that rewriting observes. */
export type RevKeyLimits = Pick<
  Limits,
  "revKeyRules" | "revKeyPatternCharacters" | "revKeySteps" | "revKeyMs" | "revKeysMs" | "tensorNameBytes"
>;

/**
 * Checks and compiles the rules.
 * @throws {UsageError} RANKCAST_REV_KEY_PATTERN for a rule that is no pair, or whose pattern or replacement is faulty: with rule, pattern,
 * position and reason; CPython's faults in CPython's words.
 * @throws {FormatError} RANKCAST_LIMIT for too many rules or too long ones.
 */
export function compileRevKeys(revKeys: RevKeys, limits: RevKeyLimits = DEFAULT_LIMITS): CompiledRevKeys {
  if (!Array.isArray(revKeys)) throw new UsageError("RANKCAST_REV_KEY_PATTERN", "revKeys must be an array of [pattern, replacement] pairs");
  const list = revKeys as RevKeys;
  enforceLimit(limits as Limits, "revKeyRules", list.length, "revKeys");
  const warnings: string[] = [];
  const rules = list.map((pair, index) => compileRule(pair, index, limits, warnings));
  return { source: list, rules, warnings, limits };
}

function compileRule(pair: RevKey, index: number, limits: RevKeyLimits, warnings: string[]): CompiledRule {
  const where = `rule ${index + 1} of revKeys`;
  const [pattern, replacement] = Array.isArray(pair) && pair.length === 2 ? pair : [];
  if (pattern instanceof RegExp && (typeof replacement === "string" || typeof replacement === "function")) {
    return compileRegExp(pattern, replacement, index);
  }
  if (typeof pattern !== "string" || typeof replacement !== "string") {
    throw new UsageError(
      "RANKCAST_REV_KEY_PATTERN",
      `${where}: expected [pattern, replacement], two strings or a RegExp and a string or function`,
      {
        details: { rule: index },
      },
    );
  }
  for (const text of [pattern, replacement]) enforceLimit(limits as Limits, "revKeyPatternCharacters", text.length, where);
  try {
    const { form, rewrite, warnings: found } = compilePythonRule(pattern, replacement);
    for (const warning of found) warnings.push(`${where}: ${warning}`);
    return { index, shown: quote(pattern), replacement, form, rewrite };
  } catch (error) {
    if (error instanceof PatternFault) throw faultOf(error, where, index, pattern, replacement);
    throw error;
  }
}

/** JavaScript's own meaning, flags included: without `g` only the first match is replaced. */
function compileRegExp(pattern: RegExp, replacement: JavaScriptReplacement, index: number): CompiledRule {
  const own = new RegExp(pattern);
  const rewrite = (key: string) => {
    own.lastIndex = 0;
    return typeof replacement === "string" ? key.replace(own, replacement) : key.replace(own, replacement as (match: string) => string);
  };
  return {
    index,
    shown: quote(String(pattern)),
    replacement: typeof replacement === "string" ? replacement : "(function)",
    form: "regexp",
    rewrite,
  };
}

function faultOf(fault: PatternFault, where: string, rule: number, pattern: string, replacement: string): UsageError {
  const origin = fault.origin === "python" ? "" : " (Python accepts this)";
  const hint = fault.hint === undefined ? "" : `; ${fault.hint}`;
  const shown = `${quote(pattern)} => ${quote(replacement)}`;
  return new UsageError("RANKCAST_REV_KEY_PATTERN", `${where}, ${shown}: ${fault.message}${origin}${hint}`, {
    details: { rule, pattern, replacement, position: fault.position ?? null, reason: fault.message, length: lengthOf(pattern) },
  });
}
