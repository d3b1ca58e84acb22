/**
 * Carrying out a planned load. Nothing found in the data can fail here; what still can (user code, memory) comes first and is taken back
 * when it does (law L10):
 *
 *     check the model ─ fill new tensors ─ extra state ─ write in place ─ put tensors in place ─ actions of hooks
 *     └── touches nothing of the model ──┘└──────────────── undone in reverse when a later step fails ───────────┘
 *
 * Writing in place overwrites bytes that only a copy could bring back, and copying every tensor aside would double the cost of each
 * load. So copies are taken only when hooks left actions, the only steps after the writes that can fail.
 */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { detach } from "./collect-state-dict.ts";
import { markBorrowed, type PlannedKey } from "./planned-key.ts";
import { setAsideOverlaps } from "./set-aside-overlaps.ts";
import type { StateDictPlan } from "./state-dict-plan.ts";
import { isSameView } from "./tied-weights.ts";
import { castedCopy, writeTensor } from "./write-tensor.ts";

type Undo = () => void;

/**
 * Makes the model what the plan says. Synchronous. When it throws, the model is as it was before; `details.restored` says so, and is false
 * only if foreign code broke in the middle of taking back.
 * @throws {StateDictError} RANKCAST_STATE_DICT_STALE_PLAN when the plan was used before or the model changed since, RANKCAST_STATE_DICT_COMMIT
 * when user code or the system failed.
 */
export function commitStateDict(plan: StateDictPlan): void {
  if (!plan.spend()) throw new StateDictError("RANKCAST_STATE_DICT_STALE_PLAN", "the plan was committed before; nothing was changed");
  requireUnchanged(plan.planned);
  const undo: Undo[] = [];
  const progress = { writing: false };
  try {
    const aside = setAsideOverlaps(plan.planned);
    const replacements = prepareTensors(plan, aside);
    setExtraStates(plan, undo);
    writeInPlace(plan, aside, undo, progress);
    putInPlace(replacements, undo);
    runActions(plan, undo);
  } catch (error) {
    throw takeBack(undo, error, progress.writing);
  }
  plan.remember();
}

/**
 * Makes the new tensors of a plan ahead of its commit: what a load has to cast or to lay out anew need not wait for the barrier before it. The
 * model is not touched; a plan that is never committed gives the memory back. The sources must hold their bytes already.
 */
export function stageStateDict(plan: StateDictPlan): void {
  for (const planned of plan.planned) {
    const { mode, dtype } = planned.plan;
    if (plan.staged.has(planned) || mode !== "fresh" || planned.source === planned.held || plan.castOf(planned.source, dtype) !== null)
      continue;
    plan.staged.set(planned, castedCopy(planned.source, dtype, plan.allocate));
  }
}

function requireUnchanged(planned: readonly PlannedKey[]): void {
  for (const { plan, held } of planned) {
    if (plan.slot.held === held) continue;
    throw new StateDictError(
      "RANKCAST_STATE_DICT_STALE_PLAN",
      `${quote(plan.key)} of the model changed after the load was planned; nothing was changed`,
      {
        details: { key: plan.key },
      },
    );
  }
}

/** A tensor and the key whose slots get it. */
interface Replacement {
  readonly planned: PlannedKey;
  readonly tensor: Tensor;
  /** Whether its memory is the checkpoint's. */
  readonly borrowed: boolean;
}

function prepareTensors(plan: StateDictPlan, aside: ReadonlyMap<PlannedKey, Tensor>): Replacement[] {
  const replacements: Replacement[] = [];
  for (const planned of plan.planned) {
    // A model that loads its own tensors: nothing to do, and its memory stays its own.
    if (planned.source === planned.held) continue;
    const copy = aside.get(planned);
    if (planned.plan.mode === "adopt") replacements.push({ planned, tensor: copy ?? detach(planned.source), borrowed: copy === undefined });
    else if (planned.plan.mode === "fresh") {
      const cast = copy === undefined ? plan.castOf(planned.source, planned.plan.dtype) : null;
      const tensor = cast ?? plan.staged.get(planned) ?? castedCopy(planned.source, planned.plan.dtype, plan.allocate);
      replacements.push({ planned, tensor, borrowed: cast !== null });
    }
  }
  return replacements;
}

function setExtraStates(plan: StateDictPlan, undo: Undo[]): void {
  for (const { module, state } of plan.extraStates) {
    // Registered before the call: a setter that throws half way has to be taken back, too.
    if (module.getExtraState) {
      const before = module.getExtraState();
      undo.push(() => module.setExtraState?.(before));
    }
    module.setExtraState?.(state);
  }
}

function writeInPlace(plan: StateDictPlan, aside: ReadonlyMap<PlannedKey, Tensor>, undo: Undo[], progress: { writing: boolean }): void {
  const keepOld = plan.actions.length > 0;
  for (const planned of plan.planned) {
    if (planned.plan.mode !== "copy") continue;
    const target = planned.held as Tensor;
    const source = aside.get(planned) ?? plan.staged.get(planned) ?? planned.source;
    if (target.elementCount === 0 || isSameView(target, source)) continue;
    if (keepOld) {
      const old = castedCopy(target, target.dtype);
      undo.push(() => writeTensor(target, old));
    } else progress.writing = true;
    writeTensor(target, source);
  }
}

function putInPlace(replacements: readonly Replacement[], undo: Undo[]): void {
  for (const { planned, tensor, borrowed } of replacements) {
    for (const slot of [planned.plan.slot, ...planned.plan.alsoIn]) {
      const before = slot.held;
      // Registered before the call: another library that fails half way has to be taken back, too.
      undo.push(() => slot.replace(before));
      slot.replace(tensor);
    }
    if (borrowed) markBorrowed(tensor);
  }
}

function runActions(plan: StateDictPlan, undo: Undo[]): void {
  for (const action of plan.actions) {
    undo.push(() => action.undo?.());
    action.apply();
  }
}

function takeBack(undo: readonly Undo[], error: unknown, writing: boolean): StateDictError {
  const failures: unknown[] = [];
  for (const step of undo.toReversed()) {
    try {
      step();
    } catch (failure) {
      failures.push(failure);
    }
  }
  const restored = failures.length === 0 && !writing;
  const reason = error instanceof Error ? error.message : String(error);
  return new StateDictError(
    "RANKCAST_STATE_DICT_COMMIT",
    `committing the load failed: ${reason}; the model ${restored ? "is as it was" : "could not be restored"}`,
    { details: { restored }, cause: failures.length === 0 ? error : new AggregateError([error, ...failures], reason, { cause: error }) },
  );
}
