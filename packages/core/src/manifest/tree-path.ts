/** Dotted names of what is inside a checkpoint. */
import { KeyTuple, type TreeKey } from "./checkpoint-tree.ts";
import { pythonBytes } from "./plain-value.ts";

/** A dict key as a segment of a dotted name: text as it is, anything else as Python's `str()` spells it. */
export function keyText(key: TreeKey): string {
  if (typeof key === "string") return key;
  if (key === null) return "None";
  if (typeof key === "boolean") return key ? "True" : "False";
  if (key instanceof Uint8Array) return pythonBytes(key);
  if (key instanceof KeyTuple) return tupleText(key);
  return String(key);
}

function tupleText({ parts }: KeyTuple): string {
  const texts = parts.map((part) => (typeof part === "string" ? `'${part}'` : keyText(part)));
  return `(${texts.join(", ")}${texts.length === 1 ? "," : ""})`;
}

/** Name of a child; `null` is the root, whose children are named by their key alone (the empty key included). */
export function childPath(parent: string | null, key: string): string {
  return parent === null ? key : `${parent}.${key}`;
}
