/** What planning collects while it visits the modules. */
import { quote } from "../errors/quote.ts";
import type { Cast, DefaultedKey, LoadProblem, Mismatch, TiedKey } from "../report/replica-report.ts";
import type { DType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { castLoss, measuredLoss } from "./dtype-policy.ts";
import type { CommitAction } from "./load-hooks.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import type { Module } from "./module.ts";
import type { LocalKey } from "./module-tree.ts";
import { type PlannedKey, planKey } from "./planned-key.ts";
import type { TensorSlot } from "./tensor-slot.ts";

/** A module that takes extra state, and the key it comes from. */
export interface PlannedExtraState {
  readonly module: Module;
  readonly key: string;
  readonly state: unknown;
}

/** The growing result. Lists are in the order of visits; hooks may edit those they can see. */
export class PlanDraft {
  readonly planned: PlannedKey[] = [];
  readonly extraStates: PlannedExtraState[] = [];
  readonly missing: string[] = [];
  readonly unexpected: string[] = [];
  readonly mismatched: Mismatch[] = [];
  readonly errors: LoadProblem[] = [];
  readonly casts: Cast[] = [];
  readonly defaulted: DefaultedKey[] = [];
  readonly tied: TiedKey[] = [];
  /** Slots of absent names, to be joined with the key that names the same tensor. */
  readonly joins: { readonly slot: TensorSlot; readonly sameAs: string }[] = [];
  readonly actions: CommitAction[] = [];
  /** Whether the same keys, shapes and versions would be planned alike again. */
  repeatable = true;
  readonly #options: CompiledLoadOptions;

  constructor(options: CompiledLoadOptions) {
    this.#options = options;
  }

  /** Plans one key that both sides have. `rule` is set when the value is no part of the checkpoint. */
  addKey(local: LocalKey, value: unknown, rule: string | undefined): void {
    if (!(value instanceof Tensor)) {
      this.#addNotTensor(local.key, value);
      return;
    }
    const decision = planKey(local, value, rule === undefined, this.#options);
    if ("mismatch" in decision) {
      if (decision.fatal) this.#addFatal(local.key, decision.mismatch);
      this.mismatched.push(decision.mismatch);
      return;
    }
    this.planned.push(decision);
    const from = decision.source.dtype;
    const to = decision.plan.dtype;
    if (from !== to) this.#addCast(local.key, decision.source, to);
    if (rule !== undefined) this.defaulted.push({ key: local.key, rule });
  }

  /** Adds a problem after what was found so far. */
  addProblem(key: string, message: string, fatal: boolean): void {
    this.errors.push({ key, message, fatal, mismatchesBefore: this.mismatched.length });
  }

  #addCast(key: string, source: Tensor, to: DType): void {
    const measured = this.#options.measureCasts && !source.isMeta;
    // What happened to values does not follow from structure.
    if (measured) this.repeatable = false;
    this.casts.push({ key, from: source.dtype, to, lossy: measured ? measuredLoss(source, to) : castLoss(source.dtype, to) });
  }

  #addNotTensor(key: string, value: unknown): void {
    // A value that structure alone does not tell: plan it anew every time.
    this.repeatable = false;
    this.addProblem(
      key,
      `While copying the parameter named "${key}", expected torch.Tensor or Tensor-like object from checkpoint but received ${typeNameOf(value)}`,
      false,
    );
  }

  #addFatal(key: string, { checkpointDtype, modelDtype }: Mismatch): void {
    this.addProblem(key, `the checkpoint has ${checkpointDtype} for ${quote(key)}, the model ${modelDtype}, and dtype is "error"`, true);
  }
}

/** A JavaScript value's type in words: `null`, `number`, `Array`, `Float32Array`. */
export function typeNameOf(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  const maker: unknown = value.constructor;
  return typeof maker === "function" && maker.name !== "" ? maker.name : "object";
}
