/** A model made from a checkpoint itself, for programs that have no model of their own. */
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { EXTRA_STATE_KEY } from "./collect-state-dict.ts";
import { KeyedModule } from "./keyed-module.ts";
import type { Module } from "./module.ts";
import { metaTensor, Parameter } from "./parameter.ts";

/**
 * Nested modules whose state dict has exactly the keys, shapes, types, versions and ties of `stateDict`. What else lies in it (an epoch, say) is no
 * part of a model; loads of such a checkpoint pass it over. With `meta` the parameters have no
 * memory and the first load gives them the checkpoint's; otherwise they look at the memory of `stateDict` now.
 */
export function moduleFromStateDict(stateDict: StateDict, options: { readonly meta?: boolean } = {}): Module {
  const root = new KeyedModule();
  const parameters = new Map<Storage, Map<string, Parameter>>();
  for (const [key, tensor] of stateDict) {
    const [owner, name] = root.ownerOf(key);
    owner.registerParameter(name, sharedParameter(parameters, tensor, options.meta ?? false));
  }
  for (const [key, state] of stateDict.extraState) {
    const [owner, name] = root.ownerOf(key);
    if (name === EXTRA_STATE_KEY) owner.holdExtraState(state);
    else owner.passOver(name);
  }
  for (const [path, { version }] of stateDict.metadata) {
    const [owner, name] = root.ownerOf(path === "" ? "-" : `${path}.-`);
    if (name === "-" && typeof version === "number") owner.version = version;
  }
  return root;
}

/** One parameter per distinct view: names that share one in the checkpoint are tied in the model. */
function sharedParameter(parameters: Map<Storage, Map<string, Parameter>>, tensor: Tensor, meta: boolean): Parameter {
  const { dtype, shape, stride, storageOffset, conj, neg } = tensor;
  const view = JSON.stringify([dtype, shape, stride, storageOffset, conj, neg]);
  const known = parameters.get(tensor.storage)?.get(view);
  if (known) return known;
  const parameter = new Parameter(meta ? metaTensor(dtype, shape, stride) : tensor, tensor.requiresGrad ? {} : { requiresGrad: false });
  const views = parameters.get(tensor.storage);
  if (views) views.set(view, parameter);
  else parameters.set(tensor.storage, new Map([[view, parameter]]));
  return parameter;
}
