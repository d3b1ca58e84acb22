/**
 * Whole models that were pickled (`torch.save(model)`, Ultralytics) hold their state dict as plain data: `torch.nn.Module` keeps it in
 * `_parameters`, `_buffers` and `_modules`. Scripted modules hold tensors and submodules as attributes. No class is needed to read either.
 */
import { OpaqueValue, SparseRef, TensorRef, TreeDict, TreeList, type TreeValue } from "./checkpoint-tree.ts";
import { keyText } from "./tree-path.ts";

/** Names and values of what a module contributes to its state dict, in torch's order: parameters, buffers, then submodules. */
export interface ModuleChildren {
  readonly keys: readonly string[];
  readonly values: readonly TreeValue[];
}

/** Whether `value` is a pickled `torch.nn.Module` or a module of a TorchScript archive. */
export function isPickledModule(value: TreeValue): value is OpaqueValue {
  return value instanceof OpaqueValue && value.state instanceof TreeDict && (isEagerState(value.state) || isScripted(value));
}

function isEagerState({ entries }: TreeDict): boolean {
  return ["_parameters", "_buffers", "_modules"].every((name) => entries.get(name) instanceof TreeDict);
}

/** TorchScript names its classes `__torch__.…`; attributes are the only thing such an object has. */
function isScripted(value: OpaqueValue): boolean {
  return value.global.startsWith("__torch__.");
}

/** What the module holds; absent (`None`) parameters, buffers and submodules are left out, as in a state dict. */
export function moduleChildren(module: OpaqueValue): ModuleChildren {
  const state = module.state instanceof TreeDict ? module.state : new TreeDict();
  return isEagerState(state) ? eagerChildren(state) : scriptedChildren(state);
}

function eagerChildren({ entries }: TreeDict): ModuleChildren {
  const transient = namesIn(entries.get("_non_persistent_buffers_set"));
  const keys: string[] = [];
  const values: TreeValue[] = [];
  const take = (from: string, wanted: (key: string, value: TreeValue) => boolean): void => {
    const table = entries.get(from);
    if (!(table instanceof TreeDict)) return;
    for (const [key, value] of table.entries) {
      const name = keyText(key);
      if (!wanted(name, value)) continue;
      keys.push(name);
      values.push(value);
    }
  };
  take("_parameters", (_, value) => isTensor(value));
  take("_buffers", (name, value) => isTensor(value) && !transient.has(name));
  take("_modules", (_, value) => value instanceof OpaqueValue);
  return { keys, values };
}

function scriptedChildren({ entries }: TreeDict): ModuleChildren {
  const named = [...entries].map(([key, value]) => [keyText(key), value] as const);
  const own = named.filter(([, value]) => isTensor(value));
  const below = named.filter(([, value]) => isPickledModule(value));
  const all = [...own, ...below];
  return { keys: all.map(([key]) => key), values: all.map(([, value]) => value) };
}

function isTensor(value: TreeValue): boolean {
  return value instanceof TensorRef || value instanceof SparseRef;
}

function namesIn(value: TreeValue | undefined): ReadonlySet<string> {
  const elements = value instanceof TreeList ? value.elements : [];
  return new Set(elements.filter((each) => typeof each === "string"));
}
