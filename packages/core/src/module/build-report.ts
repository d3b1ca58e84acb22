/** A finished draft as a report. */
import { findNearMisses } from "../report/near-misses.ts";
import type { IgnoredKey, LoadHints, LoadProblem, Mismatch, ReplicaReport } from "../report/replica-report.ts";
import { type KeyShapes, suggestPrefixEdit } from "../report/suggest-prefix-edit.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { StateDictLike } from "./draft-plan.ts";
import type { CompiledRule } from "./key-rule.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import type { ModuleTree } from "./module-tree.ts";
import type { PlanDraft } from "./plan-draft.ts";

/** Counts, lists after the ignore rules, and hints when names differ on both sides. `tiedProblems` come after all others. */
export function buildReport(
  tree: ModuleTree,
  stateDict: StateDictLike,
  draft: PlanDraft,
  tiedProblems: readonly LoadProblem[],
  options: CompiledLoadOptions,
): ReplicaReport {
  const ignoredKeys: IgnoredKey[] = [];
  const keep = <T>(kind: IgnoredKey["kind"], found: readonly T[], keyOf: (each: T) => string): T[] =>
    found.filter((each) => !isIgnored(kind, keyOf(each), options.ignore[kind], ignoredKeys));
  const missing = keep("missing", draft.missing, String);
  const unexpected = keep("unexpected", draft.unexpected, String);
  const mismatched = keep<Mismatch>("mismatched", draft.mismatched, ({ key }) => key);
  const hints = missing.length > 0 && unexpected.length > 0 ? findHints(tree, stateDict, missing, unexpected) : undefined;
  const counts = { adopt: 0, copy: 0, fresh: 0, keep: 0, tied: 0 };
  for (const { plan } of draft.planned) counts[plan.mode] += 1;
  return {
    index: 0,
    model: tree.root.module.typeName,
    expected: tree.size + tree.nodes.filter(({ module }) => module.setExtraState !== undefined).length,
    matched: draft.planned.length - draft.defaulted.length + draft.extraStates.length,
    missing,
    unexpected,
    mismatched,
    errors: [...draft.errors, ...tiedProblems],
    casts: draft.casts,
    renamed: 0,
    ignored: ignoredKeys.length,
    ignoredKeys,
    defaulted: draft.defaulted,
    tied: draft.tied,
    adopted: counts.adopt,
    copied: counts.copy + counts.fresh,
    ...(hints ? { hints } : {}),
  };
}

function isIgnored(kind: IgnoredKey["kind"], key: string, rules: readonly CompiledRule[], ignored: IgnoredKey[]): boolean {
  const rule = rules.find((each) => each.matches(key));
  if (rule) ignored.push({ key, kind, rule: rule.text });
  return rule !== undefined;
}

function findHints(
  tree: ModuleTree,
  stateDict: StateDictLike,
  missing: readonly string[],
  unexpected: readonly string[],
): LoadHints | undefined {
  const checkpoint = new Map<string, readonly number[] | null>();
  for (const [key, value] of stateDict as ReadonlyMap<string, unknown>) checkpoint.set(key, value instanceof Tensor ? value.shape : null);
  const model: KeyShapes = new Map([...tree.byKey.values()].map(({ key, slot }) => [key, slot.shape]));
  const prefixEdit = suggestPrefixEdit(checkpoint, model);
  // With a prefix wrong, every name is far from its partner; looking for misspellings would only add noise.
  const nearMisses = prefixEdit ? [] : findNearMisses(missing, unexpected);
  if (prefixEdit) return { prefixEdit };
  return nearMisses.length > 0 ? { nearMisses } : undefined;
}
