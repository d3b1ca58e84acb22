/**
 * Using a plan again. In reinforcement learning the same model takes the same keys thousands of times; then a plan follows from a
 * comparison of descriptions, key by key, and only tied values have to be looked at again. Nothing here keeps a checkpoint's memory alive.
 */
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import { sameShape } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { StateDictLike } from "./draft-plan.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import type { Module } from "./module.ts";
import { type ModuleTree, moduleTree } from "./module-tree.ts";
import { haveOwnMemory, PlaceTable } from "./place-table.ts";
import { type KeyPlan, ownsMemory, type PlannedKey, squeeze } from "./planned-key.ts";
import { SourceSignature } from "./source-signature.ts";
import { StateDictPlan } from "./state-dict-plan.ts";
import { compareTied, type TiedPair } from "./tied-weights.ts";

interface RememberedPlan {
  readonly tree: ModuleTree;
  readonly options: string;
  readonly sources: SourceSignature;
  readonly plans: readonly KeyPlan[];
  /** Place of each plan's source in the state dict, -1 for the model's own value. */
  readonly positions: Int32Array;
  /** Indices into `plans`. */
  readonly pairs: readonly (readonly [number, number])[];
  readonly extraKeys: readonly string[];
  readonly extraStates: readonly { readonly module: Module; readonly key: string; readonly inTensors: boolean }[];
  readonly versions: readonly unknown[];
  readonly report: StateDictPlan["report"];
  readonly policy: StateDictPlan["policy"];
}

const PLANS = new WeakMap<Module, RememberedPlan>();

/** A plan and what it was made from. */
export interface PlanOrigin {
  readonly module: Module;
  readonly tree: ModuleTree;
  readonly stateDict: StateDictLike;
  readonly options: CompiledLoadOptions;
  readonly plan: StateDictPlan;
  readonly pairs: readonly TiedPair[];
}

/** Keeps the shape of a good plan for the next load. */
export function rememberPlan({ module, tree, stateDict, options, plan, pairs }: PlanOrigin): void {
  const plans = plan.planned.map((each) => each.plan);
  // A default that is not the model's own value was made by a migration and cannot be made again without it.
  if (plans.some(({ fromCheckpoint, mode }) => !fromCheckpoint && mode !== "keep") || !writesApart(plan.planned)) return;
  const sources = SourceSignature.of(stateDict);
  if (sources === undefined) return;
  PLANS.set(module, {
    tree,
    options: options.signature,
    sources,
    plans,
    positions: positionsOf(plans, sources.keys),
    pairs: pairIndices(plans, pairs),
    extraKeys: extraKeysOf(stateDict),
    extraStates: plan.extraStates.map((each) => ({ module: each.module, key: each.key, inTensors: stateDict.has(each.key) })),
    versions: versionsOf(tree, stateDict),
    report: plan.report,
    policy: plan.policy,
  });
}

function positionsOf(plans: readonly KeyPlan[], keys: readonly string[]): Int32Array {
  let table: Map<string, number> | undefined;
  let expected = 0;
  return Int32Array.from(plans, ({ key, fromCheckpoint }) => {
    if (!fromCheckpoint) return -1;
    // Checkpoints are nearly always in the model's order; the table is for those that are not.
    if (keys[expected] === key) return expected++;
    table ??= new Map(keys.map((each, position) => [each, position]));
    const position = table.get(key) ?? -1;
    expected = position + 1;
    return position;
  });
}

function pairIndices(plans: readonly KeyPlan[], pairs: readonly TiedPair[]): (readonly [number, number])[] {
  if (pairs.length === 0) return [];
  const indices = new Map(plans.map((each, index) => [each, index]));
  return pairs.map(([a, b]) => [indices.get(a.plan) ?? 0, indices.get(b.plan) ?? 0] as const);
}

/** The module's last good plan bound to new tensors, or undefined when anything that planning looks at has changed. */
export function reusePlan(module: Module, stateDict: StateDictLike, options: CompiledLoadOptions): StateDictPlan | undefined {
  const known = PLANS.get(module);
  if (known === undefined || known.options !== options.signature || known.tree !== moduleTree(module)) return undefined;
  const tensors = known.sources.match(stateDict);
  if (tensors === undefined || !known.plans.every(slotUnchanged)) return undefined;
  if (!sameItems(known.versions, versionsOf(known.tree, stateDict)) || !sameItems(known.extraKeys, extraKeysOf(stateDict)))
    return undefined;
  const planned = known.plans.map((each, index) => bind(each, tensors[known.positions[index] ?? -1]));
  if (!writesApart(planned)) return undefined;
  const pairs = known.pairs.flatMap(([a, b]) => pairOf(planned[a], planned[b]));
  // The full way tells what differs, in the words of a report.
  if (compareTied(pairs).length > 0) return undefined;
  const extraStates = known.extraStates.map((each) => ({ module: each.module, key: each.key, state: extraStateOf(each, stateDict) }));
  const { report, policy } = known;
  const { allocate, castOf } = options;
  return new StateDictPlan({ report, policy, planned, extraStates, actions: [], allocate, castOf, reused: true });
}

/** Owned memory must be there still; memory that is replaced anyway may be unallocated or borrowed, which plans alike. */
function slotUnchanged(before: KeyPlan): boolean {
  const { held } = before.slot;
  if (before.heldDtype !== held.dtype || before.owned !== ownsMemory(held)) return false;
  if (before.heldShape === null || held.shape === null) return before.heldShape === held.shape;
  return sameShape(before.heldShape, held.shape) && sameShape(before.heldStride, held.stride);
}

/** Only values that stay come without a source. */
function bind(plan: KeyPlan, given: Tensor | undefined): PlannedKey {
  const { held } = plan.slot;
  const source = given === undefined ? (held as Tensor) : plan.squeezed ? squeeze(given) : given;
  return { plan, held, source };
}

function pairOf(a: PlannedKey | undefined, b: PlannedKey | undefined): TiedPair[] {
  return a && b ? [[a, b]] : [];
}

/** Whether no two keys are written to the same place: then the ties are those that were found before. */
function writesApart(planned: readonly PlannedKey[]): boolean {
  const written = planned.flatMap(({ plan, held }) => (plan.mode === "copy" ? [held] : []));
  const places = new PlaceTable<true>();
  return haveOwnMemory(written) || written.every((held) => places.at(held).push(true) === 1);
}

function extraKeysOf(stateDict: StateDictLike): readonly string[] {
  return "extraState" in stateDict ? [...stateDict.extraState.keys()] : [];
}

function extraStateOf(each: { readonly key: string; readonly inTensors: boolean }, stateDict: StateDictLike): unknown {
  if (each.inTensors) return stateDict.get(each.key);
  return "extraState" in stateDict ? stateDict.extraState.get(each.key) : undefined;
}

/** Versions that migrations look at. */
function versionsOf(tree: ModuleTree, stateDict: StateDictLike): readonly unknown[] {
  const metadata: ReadonlyMap<string, ModuleMetadata> = "metadata" in stateDict ? stateDict.metadata : new Map();
  return tree.nodes.filter(({ migrations }) => migrations.length > 0).map(({ path }) => metadata.get(path)?.["version"]);
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
