/** Validating a load: everything is decided here, nothing is touched (law L10). */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { verdictOf } from "../report/verdict.ts";
import { buildReport } from "./build-report.ts";
import { draftPlan, type StateDictLike } from "./draft-plan.ts";
import { type CompiledLoadOptions, compileLoadOptions, type LoadStateDictOptions } from "./load-options.ts";
import type { Module } from "./module.ts";
import { moduleTree } from "./module-tree.ts";
import { rememberPlan, reusePlan } from "./plan-cache.ts";
import { type PlanDraft, typeNameOf } from "./plan-draft.ts";
import { joinSlot } from "./planned-key.ts";
import { requireModule } from "./require-module.ts";
import { StateDictPlan } from "./state-dict-plan.ts";
import { selectSubtree } from "./subtree.ts";
import { compareTied, joinTied } from "./tied-weights.ts";

/**
 * Plans a load and judges it. The model, the state dict and its tensors stay as they are. Costs one look-up per key; when keys, shapes, model
 * and options are those of the module's last good plan, that plan is used again.
 * @throws {StateDictError} RANKCAST_STATE_DICT_STRICT, RANKCAST_STATE_DICT_MISMATCH, RANKCAST_STATE_DICT_NOTHING_MATCHED or
 * RANKCAST_STATE_DICT_MIN_MATCHED when the result is not acceptable, RANKCAST_SELECT_SUBTREE when the subtree is empty,
 * RANKCAST_STATE_DICT_HOOK when a hook fails, RANKCAST_STATE_DICT_TYPE when `stateDict` is no Map.
 * @throws {UsageError} RANKCAST_USAGE for a wrong option, RANKCAST_MODULE_NAME when `into` leads nowhere.
 */
export function planStateDict(module: Module, stateDict: StateDictLike, options: LoadStateDictOptions = {}): StateDictPlan {
  const plan = examineStateDict(module, stateDict, options);
  const failure = verdictOf(plan.report, plan.policy);
  if (failure) throw failure;
  return plan;
}

/**
 * Plans a load without judging it: for reports about loads that would fail.
 * @throws {StateDictError} as `planStateDict`, but for the verdict.
 */
export function examineStateDict(module: Module, stateDict: StateDictLike, options: LoadStateDictOptions = {}): StateDictPlan {
  requireModule(module);
  const compiled = compileLoadOptions(options);
  if (!(stateDict instanceof Map)) {
    throw new StateDictError("RANKCAST_STATE_DICT_TYPE", `Expected state_dict to be dict-like, got ${typeNameOf(stateDict)}.`, {
      details: { found: typeNameOf(stateDict) },
    });
  }
  const target = compiled.into === "" ? module : module.getSubmodule(compiled.into);
  const source = compiled.subtree === null ? stateDict : selectSubtree(stateDict, compiled.subtree);
  return reusePlan(target, source, compiled) ?? makePlan(target, source, compiled);
}

function makePlan(module: Module, stateDict: StateDictLike, options: CompiledLoadOptions): StateDictPlan {
  const tree = moduleTree(module);
  const draft = draftPlan(tree, stateDict, options);
  applyJoins(draft);
  const pairs = joinTied(draft.planned);
  const report = buildReport(tree, stateDict, draft, compareTied(pairs), options);
  const { strict, onMismatch, minMatched, allocate, castOf } = options;
  const policy = { strict, onMismatch, minMatched };
  const { planned, extraStates, actions } = draft;
  const remember = (plan: StateDictPlan): void => rememberPlan({ module, tree, stateDict, options, plan, pairs });
  return new StateDictPlan({
    report,
    policy,
    planned,
    extraStates,
    actions,
    allocate,
    castOf,
    reused: false,
    ...(draft.repeatable ? { remember } : {}),
  });
}

/** Gives the absent names of tied tensors to the key that loads them. */
function applyJoins(draft: PlanDraft): void {
  if (draft.joins.length === 0) return;
  const byKey = new Map(draft.planned.map((each) => [each.plan.key, each]));
  for (const { slot, sameAs } of draft.joins) {
    const planned = byKey.get(sameAs);
    if (planned) joinSlot(planned.plan, slot);
  }
}
