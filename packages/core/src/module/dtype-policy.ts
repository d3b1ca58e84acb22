/** Which element type a loaded tensor gets, and what that can lose. Pure: judged by the types alone. */
import type { Cast } from "../report/replica-report.ts";
import { describeCast } from "../tensor/cast-loss.ts";
import { isConvertible } from "../tensor/convert.ts";
import { type DType, traitsOf } from "../tensor/dtype.ts";
import { measureCast } from "../tensor/measure-cast.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CompiledLoadOptions } from "./load-options.ts";

/** The decision for one tensor: its type afterwards, and whether the checkpoint's values may go there. */
export interface DtypeDecision {
  readonly verdict: "allow" | "refuse";
  readonly dtype: DType;
  /** Whether a refusal fails the load under every policy. */
  readonly fatal: boolean;
}

/** Decides for a checkpoint tensor of type `from` and a model tensor of type `model`. */
export function decideDtype(from: DType, model: DType, options: CompiledLoadOptions): DtypeDecision {
  const wanted = options.floatDtype !== null && isFloat(model) ? options.floatDtype : model;
  if (from === wanted || options.dtypePolicy === "keep") return { verdict: "allow", dtype: from, fatal: false };
  if (options.dtypePolicy === "error") return { verdict: "refuse", dtype: wanted, fatal: true };
  const cut = cutsFractions(from, wanted) && !options.allowFloatToInt;
  return { verdict: cut || !isConvertible(from, wanted) ? "refuse" : "allow", dtype: wanted, fatal: false };
}

function isFloat(dtype: DType): boolean {
  return traitsOf(dtype).kind === "float";
}

/** Whether fractions would be cut off: torch does it silently, we only when asked (semantics F9). */
function cutsFractions(from: DType, to: DType): boolean {
  const [source, target] = [traitsOf(from).kind, traitsOf(to).kind];
  return (source === "float" || source === "complex") && (target === "int" || target === "uint" || target === "bool");
}

/** What a cast can lose at worst, by the types alone; false when every value survives. */
export function castLoss(from: DType, to: DType): Cast["lossy"] {
  const loss = describeCast(from, to);
  return loss === "lossless" ? false : loss;
}

/** The worst that a cast does to a value of `source`; false when it changes none. */
export function measuredLoss(source: Tensor, to: DType): Cast["lossy"] {
  const { loss } = measureCast(source, to);
  return loss === "lossless" ? false : loss;
}
