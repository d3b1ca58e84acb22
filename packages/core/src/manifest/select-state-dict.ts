/**
 * Which part of a checkpoint is the state dict. Training programs wrap it: vis4d and mmengine look for `state_dict`, then `model`; the
 * other names are those of DDP scripts, BasicSR, DeepSpeed, timm, DETR and Ultralytics.
 */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { OpaqueValue, SparseRef, TensorRef, TreeDict, type TreeKey, type TreeValue } from "./checkpoint-tree.ts";
import { isPickledModule, moduleChildren } from "./pickled-module.ts";
import { holdsTensor } from "./tensor-search.ts";
import { keysOf, resolvePath } from "./tree-lookup.ts";
import { keyText } from "./tree-path.ts";

/** Keys that are tried in this order before the whole object. */
export const STATE_DICT_KEYS = [
  "state_dict",
  "model",
  "model_state_dict",
  "net",
  "params",
  "params_ema",
  "network",
  "module",
  "weights",
  "model_state",
  "ema",
  "ema_state_dict",
  "state_dict_ema",
  "model_ema",
] as const;

/** The chosen part. */
export interface SelectedStateDict {
  readonly value: TreeDict | OpaqueValue;
  /** Dotted path from the root; empty for the whole object. */
  readonly path: string;
}

/** What to choose, and the file's name for messages. */
export interface SelectOptions {
  /** Dotted path that overrides the search. Keys may hold dots themselves. */
  readonly select?: string | undefined;
  readonly file: string;
}

/**
 * The state dict of `root`. Without `select`: the first of `STATE_DICT_KEYS` whose value is a dict (or pickled module) that holds a tensor
 * directly, else the whole object when that does, else the same search with tensors at any depth, else the whole object.
 * @throws {StateDictError} RANKCAST_NO_STATE_DICT when the root is no dict, RANKCAST_SELECT_PATH when `select` leads to no dict with tensors,
 * RANKCAST_STATE_DICT_KEY when a tensor's key is not a string.
 */
export function selectStateDict(root: TreeValue, { select, file }: SelectOptions): SelectedStateDict {
  const selected = select === undefined || select === "" ? searchStateDict(root, file) : selectPath(root, select, file);
  requireStringKeys(selected, file);
  return selected;
}

function searchStateDict(root: TreeValue, file: string): SelectedStateDict {
  if (!isMapping(root)) {
    throw new StateDictError("RANKCAST_NO_STATE_DICT", `No state_dict found in checkpoint file ${printable(file)}`, {
      details: { file, found: kindName(root) },
    });
  }
  return candidateOf(root, holdsTensorDirectly) ?? candidateOf(root, holdsTensor) ?? { value: root, path: "" };
}

function candidateOf(root: Mapping, holds: (value: Mapping) => boolean): SelectedStateDict | null {
  for (const key of root instanceof TreeDict ? STATE_DICT_KEYS : []) {
    const value = root instanceof TreeDict ? root.entries.get(key) : undefined;
    if (value !== undefined && isMapping(value) && holds(value)) return { value, path: key };
  }
  return holds(root) ? { value: root, path: "" } : null;
}

function selectPath(root: TreeValue, select: string, file: string): SelectedStateDict {
  const found = resolvePath(root, select);
  const message = `${printable(file)}: select ${quote(select)}`;
  if ("missing" in found) {
    const keys = keysOf(found.missing);
    throw new StateDictError(
      "RANKCAST_SELECT_PATH",
      `${message}: nothing there; keys at ${quote(found.reached)}: ${keys.map(quote).join(", ")}`,
      {
        details: { file, select, reached: found.reached, keys },
      },
    );
  }
  if (isMapping(found.value) && holdsTensor(found.value)) return { value: found.value, path: select };
  throw new StateDictError("RANKCAST_SELECT_PATH", `${message}: ${kindName(found.value)}, expected a dict that holds tensors`, {
    details: { file, select, found: kindName(found.value) },
  });
}

type Mapping = TreeDict | OpaqueValue;

function isMapping(value: TreeValue): value is Mapping {
  return value instanceof TreeDict || isPickledModule(value);
}

function holdsTensorDirectly(value: Mapping): boolean {
  // A module's tensors may all be in its children; it is a state dict all the same.
  if (value instanceof OpaqueValue) return moduleChildren(value).values.length > 0 && holdsTensor(value);
  for (const entry of value.entries.values()) if (isTensor(entry)) return true;
  return false;
}

function isTensor(value: TreeValue): boolean {
  return value instanceof TensorRef || value instanceof SparseRef;
}

function requireStringKeys({ value, path }: SelectedStateDict, file: string): void {
  if (!(value instanceof TreeDict)) return;
  // forEach makes no pair per entry.
  value.entries.forEach((entry, key) => {
    if (typeof key !== "string" && isTensor(entry)) throw wrongKey(key, path, file);
  });
}

function wrongKey(key: TreeKey, path: string, file: string): StateDictError {
  const type = key === null ? "NoneType" : typeof key === "object" ? "tuple or bytes" : typeof key === "boolean" ? "bool" : "number";
  return new StateDictError(
    "RANKCAST_STATE_DICT_KEY",
    `${printable(file)}: key ${quote(keyText(key))} of the state dict is a ${type}, expected a string`,
    {
      details: { file, path, key: keyText(key), found: type },
    },
  );
}

function kindName(value: TreeValue): string {
  if (value === null) return "None";
  if (value instanceof TensorRef || value instanceof SparseRef) return "a tensor";
  if (value instanceof OpaqueValue) return `an object of class ${quote(value.global)}`;
  if (typeof value === "object") return "kind" in value ? `a ${value.kind}` : "bytes";
  return `a ${typeof value}`;
}
