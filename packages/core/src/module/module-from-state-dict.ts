/** A model made from a checkpoint itself, for programs that have no model of their own. */
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { EXTRA_STATE_KEY } from "./collect-state-dict.ts";
import { Module } from "./module.ts";
import { metaTensor, Parameter } from "./parameter.ts";

/** Modules nested deeper than this keep the rest of their keys as one dotted name: no real model is, and each level costs memory. */
const DEPTH_MAX = 64;

/** A module whose names come from a file: they may be anything, so nothing is refused and keys stay what they are. */
class CheckpointModule extends Module {
  #extraState: unknown;

  constructor() {
    super({ typeName: "Module", version: null });
  }

  protected override checkName(): void {}

  /** Makes the module one that saves and takes extra state. */
  holdExtraState(state: unknown): void {
    this.#extraState = state;
    this.getExtraState = () => this.#extraState;
    this.setExtraState = (next) => {
      this.#extraState = next;
    };
  }
}

/**
 * Nested modules whose state dict has exactly the keys, shapes, types, versions and ties of `stateDict`. With `meta` the parameters have no
 * memory and the first load gives them the checkpoint's; otherwise they look at the memory of `stateDict` now.
 */
export function moduleFromStateDict(stateDict: StateDict, options: { readonly meta?: boolean } = {}): Module {
  const root = new CheckpointModule();
  const parameters = new Map<Storage, Map<string, Parameter>>();
  for (const [key, tensor] of stateDict) {
    const [owner, name] = ownerOf(root, key);
    owner.registerParameter(name, sharedParameter(parameters, tensor, options.meta ?? false));
  }
  for (const [key, state] of stateDict.extraState) {
    const [owner, name] = ownerOf(root, key);
    if (name === EXTRA_STATE_KEY) owner.holdExtraState(state);
  }
  for (const [path, { version }] of stateDict.metadata) {
    const [owner, name] = ownerOf(root, path === "" ? "-" : `${path}.-`);
    if (name === "-" && typeof version === "number") owner.version = version;
  }
  return root;
}

/** The module that holds a key, made on the way, and the key's name there. */
function ownerOf(root: CheckpointModule, key: string): [owner: CheckpointModule, name: string] {
  let owner = root;
  let at = 0;
  for (let dot = key.indexOf("."), depth = 0; dot >= 0 && depth < DEPTH_MAX; dot = key.indexOf(".", at), depth += 1) {
    // An empty component would make a path that cannot be told from its parent's.
    if (dot === at) break;
    owner = childOf(owner, key.slice(at, dot));
    at = dot + 1;
  }
  return [owner, key.slice(at)];
}

function childOf(owner: CheckpointModule, name: string): CheckpointModule {
  const known = owner.ownChildren.get(name);
  if (known instanceof CheckpointModule) return known;
  const child = new CheckpointModule();
  owner.registerModule(name, child);
  return child;
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
