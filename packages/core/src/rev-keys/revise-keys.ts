/** `reviseKeys`: vis4d's and mmengine's `rev_keys`, on a state dict. */
import { StateDictError, UsageError } from "../errors/checkpoint-error.ts";
import { checkOptionNames } from "../errors/option-names.ts";
import { describeFound } from "../errors/require-options.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { compileRevKeys, DEFAULT_REV_KEYS, type RevKeyLimits, type RevKeys } from "./compile-rev-keys.ts";

export type { RevKey, RevKeys } from "./compile-rev-keys.ts";

import { requireNoCollision, reviseNames } from "./revise-names.ts";

/** What may be said about a renaming. */
export interface ReviseKeysOptions {
  /** `last` keeps the last of several tensors that get one name, silently, as vis4d and mmengine do. */
  readonly onCollision?: "error" | "last";
  readonly limits?: RevKeyLimits;
}

/** A renamed state dict. */
export interface RevisedStateDict {
  readonly stateDict: StateDict;
  /** Keys that have another name now. */
  readonly renamed: number;
  /** Things in the rules that are legal but surely not meant. */
  readonly warnings: readonly string[];
}

/**
 * Renames the keys of a state dict: each rule is applied to all keys, to the result of the rule before, wherever it matches in a key. Pairs of
 * strings mean exactly what Python's `re.sub` does with them; a RegExp means what JavaScript does. Module paths in `metadata` are renamed with
 * the keys. Without rules given, the prefix `module.` of wrapped models is taken off; `[]` renames nothing. The given state dict is not
 * changed, and the tensors are not copied.
 * @throws {UsageError} RANKCAST_REV_KEY_PATTERN when a rule is faulty.
 * @throws {StateDictError} RANKCAST_REV_KEY_COLLISION when two keys get one name, RANKCAST_REV_KEY_RUNAWAY when matching takes too long,
 * RANKCAST_STATE_DICT_KEY when a key is not a string.
 * @throws {FormatError} RANKCAST_LIMIT for more or longer rules, or longer names, than the limits allow.
 */
export function reviseKeys(stateDict: StateDict, revKeys: RevKeys = DEFAULT_REV_KEYS, options: ReviseKeysOptions = {}): RevisedStateDict {
  checkOptionNames("reviseKeys", options, { onCollision: true, limits: true });
  const { onCollision = "error" } = options;
  if (onCollision !== "error" && onCollision !== "last") {
    throw new UsageError("RANKCAST_USAGE", "onCollision must be error or last", { details: { option: "onCollision" } });
  }
  if (!(stateDict instanceof Map)) {
    throw new StateDictError("RANKCAST_STATE_DICT_TYPE", `Expected state_dict to be dict-like, got ${describeFound(stateDict)}.`);
  }
  const compiled = compileRevKeys(revKeys, options.limits);
  const tensors = [...stateDict];
  // A plain Map is welcome too; it has neither of the two.
  const extra = [...(stateDict.extraState ?? [])];
  const names = [...tensors, ...extra].map(([name]) => requireString(name));
  const revised = reviseNames(names, stateDict.metadata ?? [], compiled);
  if (onCollision !== "last") requireNoCollision(revised, compiled);
  const result = new StateDict();
  for (const [name, index] of revised.entries) {
    const tensor = tensors[index];
    if (tensor) result.set(name, tensor[1]);
    else result.extraState.set(name, extra[index - tensors.length]?.[1]);
  }
  result.metadata = revised.metadata;
  return { stateDict: result, renamed: revised.renamed, warnings: compiled.warnings };
}

function requireString(name: unknown): string {
  if (typeof name === "string") return name;
  throw new StateDictError(
    "RANKCAST_STATE_DICT_KEY",
    `the state dict has the key ${String(name)}, of type ${typeof name}, where only strings can be`,
    {
      details: { key: String(name), type: typeof name },
    },
  );
}
