/** A load that was validated and not yet carried out. */
import type { ReplicaReport } from "../report/replica-report.ts";
import type { VerdictPolicy } from "../report/verdict.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CommitAction } from "./load-hooks.ts";
import type { PlannedExtraState } from "./plan-draft.ts";
import type { PlannedKey } from "./planned-key.ts";

/** A cast that exists already, or null. */
export type CastOf = (source: Tensor, dtype: DType) => Tensor | null;

/** Everything a commit needs. */
export interface PlanParts {
  readonly report: ReplicaReport;
  readonly policy: VerdictPolicy;
  readonly planned: readonly PlannedKey[];
  readonly extraStates: readonly PlannedExtraState[];
  readonly actions: readonly CommitAction[];
  readonly allocate: (sizeBytes: number) => Storage;
  readonly castOf: CastOf;
  readonly reused: boolean;
  /** Keeps the plan's shape for the next load; absent when it must not be used again. */
  readonly remember?: (plan: StateDictPlan) => void;
}

/**
 * The result of `planStateDict`: hand it to `commitStateDict` once, now or after a barrier. It holds views of the checkpoint's memory, and the
 * model must not be changed in between.
 */
export class StateDictPlan {
  /** What the load will have done. */
  readonly report: ReplicaReport;
  /** What the caller demanded of it. */
  readonly policy: VerdictPolicy;
  /** Whether planning was skipped because keys, shapes and model were those of the plan before. */
  readonly reused: boolean;
  /** Whether a plan for the same keys and the same model would be this one: nobody's own code took part in it. */
  readonly repeatable: boolean;
  readonly planned: readonly PlannedKey[];
  readonly extraStates: readonly PlannedExtraState[];
  readonly actions: readonly CommitAction[];
  readonly allocate: (sizeBytes: number) => Storage;
  readonly castOf: CastOf;
  /** New tensors that were made ahead of the commit. */
  readonly staged = new Map<PlannedKey, Tensor>();
  #remember: ((plan: StateDictPlan) => void) | undefined;
  #spent = false;

  constructor(parts: PlanParts) {
    this.report = parts.report;
    this.policy = parts.policy;
    this.reused = parts.reused;
    this.repeatable = parts.reused || parts.remember !== undefined;
    this.#remember = parts.remember;
    this.planned = parts.planned;
    this.extraStates = parts.extraStates;
    this.actions = parts.actions;
    this.allocate = parts.allocate;
    this.castOf = parts.castOf;
  }

  /** Marks the plan as carried out; false when it was before. */
  spend(): boolean {
    const first = !this.#spent;
    this.#spent = true;
    return first;
  }

  /** Called when the plan was carried out: what was loaded once will be loaded again. */
  remember(): void {
    this.#remember?.(this);
    this.#remember = undefined;
  }
}
