/**
 * A load that only put views in place, to be done again. A replica that follows updates goes to and fro between the same few sets of memory: what it
 * looks at changes, what a plan would say does not.
 */
import type { ReplicaReport } from "../report/replica-report.ts";
import { sameShape } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";
import { type ModuleTree, moduleTree } from "./module-tree.ts";
import { Parameter } from "./parameter.ts";
import { ownsMemory, sameLayout } from "./planned-key.ts";
import type { StateDictPlan } from "./state-dict-plan.ts";
import { BufferSlot, type OpenTensor, type TensorSlot } from "./tensor-slot.ts";

/** See the module comment. It holds views of the checkpoint's memory. */
export class Adoption {
  /** What each repetition does. */
  readonly report: ReplicaReport;
  readonly #module: Module;
  readonly #tree: ModuleTree;
  readonly #slots: readonly TensorSlot[];
  /** One per slot. */
  readonly #views: readonly Tensor[];
  /** What each slot held when it was last found to be one that takes the view as it is. */
  readonly #seen: (Tensor | OpenTensor | undefined)[];

  private constructor(module: Module, report: ReplicaReport, slots: readonly TensorSlot[]) {
    this.report = report;
    this.#module = module;
    this.#tree = moduleTree(module);
    this.#slots = slots;
    this.#views = slots.map(({ held }) => held as Tensor);
    this.#seen = slots.map(() => undefined);
  }

  /**
   * What a plan that was just committed comes down to; null when it did more than put views into the parameters and buffers of `module` itself: copies,
   * casts, hooks, extra state, models of other libraries.
   */
  static of(module: Module, { planned, extraStates, actions, repeatable, report }: StateDictPlan): Adoption | null {
    if (!repeatable || extraStates.length > 0 || actions.length > 0) return null;
    const slots = planned.flatMap(({ plan }) => [plan.slot, ...plan.alsoIn]);
    const onlyViews = planned.every(({ plan: { mode } }) => mode === "adopt") && slots.every((slot) => isPlain(slot) && isView(slot.held));
    return onlyViews ? new Adoption(module, report, slots) : null;
  }

  /**
   * Puts the views in place again; false, and nothing was touched, when the model is not what it was then (other modules, memory of its own, other
   * layouts) and the load has to be planned anew. Cannot fail half way.
   */
  repeat(): boolean {
    if (moduleTree(this.#module) !== this.#tree) return false;
    for (let at = 0; at < this.#slots.length; at += 1) {
      const held = this.#slots[at]?.held;
      if (held === this.#seen[at]) continue;
      if (!takesAsItIs(held, this.#views[at])) return false;
      this.#seen[at] = held;
    }
    for (let at = 0; at < this.#slots.length; at += 1) this.#slots[at]?.replace(this.#views[at] as Tensor);
    return true;
  }
}

/** Whether replacing what the slot holds is one assignment, which cannot fail. */
function isPlain(slot: TensorSlot): boolean {
  return slot.constructor === Parameter || slot.constructor === BufferSlot;
}

function isView(held: Tensor | OpenTensor): held is Tensor {
  return held.shape !== null && !held.isMeta && !ownsMemory(held);
}

/** Whether planning would have the view take the place of what is held. */
function takesAsItIs(held: Tensor | OpenTensor | undefined, view: Tensor | undefined): boolean {
  if (held === undefined || view === undefined || !isView(held)) return false;
  return held.dtype === view.dtype && sameShape(held.shape, view.shape) && sameLayout(held, view);
}
