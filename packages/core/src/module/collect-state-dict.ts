/** A module tree as a state dict. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";
import { moduleTree } from "./module-tree.ts";

/** What torch appends to a module's prefix for its extra state. */
export const EXTRA_STATE_KEY = "_extra_state";

/**
 * Views of the live tensors, without gradients, in torch's order.
 * @throws {StateDictError} RANKCAST_PARAMETER_OPEN when a parameter's shape is still open.
 */
export function collectStateDict(root: Module): StateDict {
  const stateDict = new StateDict();
  for (const { module, path, prefix, locals } of moduleTree(root).nodes) {
    if (module.version !== null) stateDict.metadata.set(path, { version: module.version });
    for (const { key, slot } of locals) {
      if (slot.held.shape === null) {
        throw new StateDictError("RANKCAST_PARAMETER_OPEN", `the shape of ${quote(key)} is decided by the first load`, {
          details: { key },
        });
      }
      stateDict.set(key, detach(slot.held as Tensor));
    }
    if (module.getExtraState) stateDict.extraState.set(prefix + EXTRA_STATE_KEY, module.getExtraState());
  }
  return stateDict;
}

/** The same memory without the gradient flag, so that the flag cannot travel into another model. */
export function detach(tensor: Tensor): Tensor {
  return tensor.requiresGrad ? new Tensor({ ...tensor, requiresGrad: false }) : tensor;
}
