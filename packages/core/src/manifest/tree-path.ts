/** Dotted names of what is inside a checkpoint. */
import { KeyTuple, OpaqueValue, type TreeKey } from "./checkpoint-tree.ts";
import { pythonBytes } from "./plain-value.ts";

/** Tuples inside tuples are spelled out this deep; deeper ones only by their identity. */
const TUPLE_DEPTH_MAX = 4;

/** A dict key as a segment of a dotted name: text as it is, anything else as Python's `str()` spells it. */
export function keyText(key: TreeKey): string {
  return typeof key === "string" ? key : describeKey(key, 0);
}

function describeKey(key: TreeKey, depth: number): string {
  if (key === null) return "None";
  if (typeof key === "boolean") return key ? "True" : "False";
  if (typeof key === "string") return `'${key}'`;
  if (key instanceof Uint8Array) return pythonBytes(key);
  if (key instanceof OpaqueValue) return `<${key.global}>`;
  if (!(key instanceof KeyTuple)) return String(key);
  if (depth === TUPLE_DEPTH_MAX) return key.text;
  const texts = key.parts.map((part) => describeKey(part, depth + 1));
  return `(${texts.join(", ")}${texts.length === 1 ? "," : ""})`;
}

/** Name of a child; `null` is the root, whose children are named by their key alone (the empty key included). */
export function childPath(parent: string | null, key: string): string {
  return parent === null ? key : `${parent}.${key}`;
}
