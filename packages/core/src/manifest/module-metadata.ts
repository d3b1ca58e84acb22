/** torch's `_metadata`: per module path a small dict, `version` above all. An attribute of the state dict's OrderedDict, never a key. */
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import { TreeDict, type TreeValue } from "./checkpoint-tree.ts";
import type { PlainValue } from "./manifest.ts";

/** Module path to metadata of this dict; empty when it has none. Values that are not plain are left out. */
export function moduleMetadata(dict: TreeDict): [string, ModuleMetadata][] {
  const table = dict.attributes?.entries.get("_metadata");
  if (!(table instanceof TreeDict)) return [];
  const found: [string, ModuleMetadata][] = [];
  for (const [path, value] of table.entries) {
    if (typeof path === "string" && value instanceof TreeDict) found.push([path, plainFields(value)]);
  }
  return found;
}

function plainFields(dict: TreeDict): ModuleMetadata {
  const fields = [...dict.entries].filter((field): field is [string, PlainValue] => isPlainField(field[0], field[1]));
  // fromEntries defines own properties, so a field called __proto__ stays a field.
  return Object.fromEntries(fields);
}

function isPlainField(key: unknown, value: TreeValue): boolean {
  return typeof key === "string" && (value === null || ["string", "number", "boolean"].includes(typeof value));
}
