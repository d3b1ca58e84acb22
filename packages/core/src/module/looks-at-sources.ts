/** Whether a model still needs the memory it was loaded from. */
import type { StateDictPlan } from "./state-dict-plan.ts";

/**
 * Whether after the plan's commit the model, or anything that its modules and hooks were given to keep, may look at memory of the checkpoint or
 * of casts of it. False only when every tensor was copied into memory of the model's own.
 */
export function looksAtSources({ planned, extraStates, actions, castOf }: StateDictPlan): boolean {
  if (extraStates.length > 0 || actions.length > 0) return true;
  return planned.some(({ plan: { mode, dtype }, source }) => mode === "adopt" || (mode === "fresh" && castOf(source, dtype) !== null));
}
