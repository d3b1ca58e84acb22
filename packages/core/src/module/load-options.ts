/** What a caller may ask of a load into a module, and its compiled form. Nothing else reads the raw options. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { checkOptionNames } from "../errors/option-names.ts";
import { describeFound, FUNCTION, type OptionShapes, requireOptions, TEXT } from "../errors/require-options.ts";
import { freshStorage } from "../memory/fresh-storage.ts";
import { type DType, isDType } from "../tensor/dtype.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type CompiledRule, compileRule, type KeyRule } from "./key-rule.ts";

/** Keys that may be missing, unexpected or mismatched; each use is counted in the report. */
export interface IgnoreRules {
  readonly missing?: readonly KeyRule[];
  readonly unexpected?: readonly KeyRule[];
  readonly mismatched?: readonly KeyRule[];
}

/** Options of `loadStateDict` and `planStateDict`. */
export interface LoadStateDictOptions {
  /** Whether missing, unexpected and mismatched keys are errors. Default false, as in vis4d. */
  readonly strict?: boolean;
  /**
   * When a parameter becomes a view of the checkpoint's memory instead of being written to. `auto` (default, also `false`): when it has no
   * memory of its own, being unallocated or the view of an earlier load; other parameters are written in place. `always` (also `true`,
   * torch's `assign=True`): whenever its type allows. `never`: it gets memory of its own.
   */
  readonly assign?: boolean | "auto" | "always" | "never";
  /** What to do with a key whose shape or type does not fit: `error`, or `skip` and report. Default `error` when strict, else `skip`. */
  readonly onMismatch?: "error" | "skip";
  readonly ignore?: IgnoreRules;
  /** Whether batch counters of normalisation layers may be missing, as vis4d and mmengine allow. Default true. */
  readonly defaultIgnores?: boolean;
  /**
   * What decides the element type. `cast` (default): the model's type wins and casts are reported. `error`: a difference is an error under
   * every policy. `keep`: the checkpoint's type replaces the model's. A type's name: floating point values become that type.
   */
  readonly dtype?: "cast" | "error" | "keep" | DType;
  /** Whether fractions may be cut to fit an integer type. Default false. */
  readonly allowFloatToInt?: boolean;
  /**
   * Whether to look at every value that is cast and report what really happened to it. Default false: the report says what the types allow.
   * Costs a pass over those tensors.
   */
  readonly measureCasts?: boolean;
  /** Least share of the model's keys that must be loaded, 0 to 1. Default 0; loading none at all is always an error. */
  readonly minMatched?: number;
  /** Load only the keys under this prefix of the checkpoint, without it. */
  readonly subtree?: string;
  /** Load into the module at this path instead of the root; keys in the report are relative to it. */
  readonly into?: string;
  /** Memory for tensors that are neither adopted nor written in place. Default: private memory of the process. */
  readonly allocate?: (sizeBytes: number) => Storage;
  /**
   * A cast of `source` to `dtype` that exists already, row-major, or null. Where a load would make such a tensor for itself, it takes that one as
   * it takes the checkpoint's own: as a view.
   */
  readonly castOf?: (source: Tensor, dtype: DType) => Tensor | null;
}

/** Names of those options, kept complete by the compiler. */
export const LOAD_STATE_DICT_OPTIONS = {
  strict: true,
  assign: true,
  onMismatch: true,
  ignore: true,
  defaultIgnores: true,
  dtype: true,
  allowFloatToInt: true,
  measureCasts: true,
  minMatched: true,
  subtree: true,
  into: true,
  allocate: true,
  castOf: true,
} as const satisfies Record<keyof LoadStateDictOptions, true>;

const IGNORE_KINDS = { missing: true, unexpected: true, mismatched: true } as const satisfies Record<keyof IgnoreRules, true>;

const SHAPES: OptionShapes = new Map([
  ["subtree", TEXT],
  ["into", TEXT],
  ["allocate", FUNCTION],
  ["castOf", FUNCTION],
]);

/** Options with every default applied. */
export interface CompiledLoadOptions {
  readonly strict: boolean;
  readonly assign: "auto" | "always" | "never";
  readonly onMismatch: "error" | "skip";
  readonly ignore: {
    readonly missing: readonly CompiledRule[];
    readonly unexpected: readonly CompiledRule[];
    readonly mismatched: readonly CompiledRule[];
  };
  readonly dtypePolicy: "cast" | "error" | "keep";
  /** Type that floating point parameters get, or null for their own. */
  readonly floatDtype: DType | null;
  readonly allowFloatToInt: boolean;
  readonly measureCasts: boolean;
  readonly minMatched: number;
  readonly subtree: string | null;
  readonly into: string;
  readonly allocate: (sizeBytes: number) => Storage;
  readonly castOf: (source: Tensor, dtype: DType) => Tensor | null;
  /** Equal for options that plan alike. */
  readonly signature: string;
}

/** vis4d and mmengine drop these from the missing keys; checkpoints older than torch 0.4.1 lack them (semantics G3). */
export const BATCH_COUNTER_RULE = /(^|\.)num_batches_tracked$/;

const BOOLEANS = ["strict", "defaultIgnores", "allowFloatToInt", "measureCasts"] as const;

const ASSIGN: ReadonlyMap<unknown, "auto" | "always" | "never"> = new Map<unknown, "auto" | "always" | "never">([
  [undefined, "auto"],
  [false, "auto"],
  ["auto", "auto"],
  [true, "always"],
  ["always", "always"],
  ["never", "never"],
]);

/**
 * Options with defaults, checked.
 * @throws {UsageError} RANKCAST_USAGE naming the option that is wrong.
 */
export function compileLoadOptions(options: LoadStateDictOptions = {}): CompiledLoadOptions {
  requireOptions(options, SHAPES);
  const assign = ASSIGN.get(options.assign) ?? refuse("assign", options.assign, "auto, always, never, true or false");
  for (const name of BOOLEANS) if (typeof (options[name] ?? false) !== "boolean") refuse(name, options[name], "true or false");
  const strict = options.strict ?? false;
  const onMismatch = options.onMismatch ?? (strict ? "error" : "skip");
  if (onMismatch !== "error" && onMismatch !== "skip") refuse("onMismatch", onMismatch, "error or skip");
  const minMatched = options.minMatched ?? 0;
  if (!(typeof minMatched === "number" && minMatched >= 0 && minMatched <= 1)) refuse("minMatched", minMatched, "a number from 0 to 1");
  const compiled = {
    strict,
    assign,
    onMismatch,
    ignore: compileIgnore(options),
    ...compileDtype(options.dtype),
    allowFloatToInt: options.allowFloatToInt ?? false,
    measureCasts: options.measureCasts ?? false,
    minMatched,
    subtree: options.subtree ?? null,
    into: options.into ?? "",
  };
  const allocate = options.allocate ?? freshStorage;
  const castOf = options.castOf ?? (() => null);
  return { ...compiled, allocate, castOf, signature: signatureOf(compiled) };
}

function compileIgnore(options: LoadStateDictOptions): CompiledLoadOptions["ignore"] {
  checkOptionNames("ignore", options.ignore, IGNORE_KINDS);
  const { missing = [], unexpected = [], mismatched = [] } = options.ignore ?? {};
  // A text would be taken apart into rules of one character.
  for (const rules of [missing, unexpected, mismatched])
    if (!Array.isArray(rules) || rules.some((rule) => typeof rule !== "string" && !(rule instanceof RegExp)))
      refuse("ignore", rules, "lists of globs or expressions");
  const defaults = (options.defaultIgnores ?? true) ? [BATCH_COUNTER_RULE] : [];
  return {
    missing: [...missing, ...defaults].map(compileRule),
    unexpected: unexpected.map(compileRule),
    mismatched: mismatched.map(compileRule),
  };
}

function compileDtype(dtype: LoadStateDictOptions["dtype"]): Pick<CompiledLoadOptions, "dtypePolicy" | "floatDtype"> {
  if (dtype === undefined || dtype === "cast" || dtype === "error" || dtype === "keep") {
    return { dtypePolicy: dtype ?? "cast", floatDtype: null };
  }
  if (!isDType(dtype)) refuse("dtype", dtype, "cast, error, keep or the name of an element type");
  return { dtypePolicy: "cast", floatDtype: dtype };
}

/** Rules count by their text; what they match follows from it. */
function signatureOf(compiled: Omit<CompiledLoadOptions, "allocate" | "castOf" | "signature">): string {
  return JSON.stringify(compiled, (name, value: unknown) => (name === "matches" ? undefined : value));
}

function refuse(option: string, found: unknown, expected: string): never {
  throw new UsageError("RANKCAST_USAGE", `${option} must be ${expected}, not ${describeFound(found)}`, {
    details: { option, expected },
  });
}
