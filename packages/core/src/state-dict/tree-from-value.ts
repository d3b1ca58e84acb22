/** JavaScript values as values of a checkpoint: how extra state of a state dict in memory goes where that of a file goes. */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import {
  ComplexValue,
  KeyTuple,
  OpaqueValue,
  SparseRef,
  StorageRef,
  TensorRef,
  TreeDict,
  type TreeKey,
  TreeList,
  type TreeValue,
} from "../manifest/checkpoint-tree.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * Makes trees of values. Maps and plain objects become dicts, arrays and Sets sequences, `undefined` null; what came from a checkpoint stays what
 * it is. Iterative; what is shared stays shared, across all values that one converter is given.
 */
export class TreeConverter {
  readonly #refOf: (tensor: Tensor, key: string) => TensorRef;
  readonly #made = new Map<object, TreeValue>();
  readonly #unfilled: (() => void)[] = [];

  constructor(refOf: (tensor: Tensor, key: string) => TensorRef) {
    this.#refOf = refOf;
  }

  /** @throws {CheckpointError} RANKCAST_SAVE_VALUE for a function, a symbol, or an object of a class; `key` names the state it is in. */
  convert(key: string, value: unknown): TreeValue {
    const tree = this.#value(key, value);
    for (let fill = this.#unfilled.pop(); fill; fill = this.#unfilled.pop()) fill();
    return tree;
  }

  #value(key: string, value: unknown): TreeValue {
    switch (typeof value) {
      case "undefined":
        return null;
      case "boolean":
      case "number":
      case "bigint":
      case "string":
        return value;
      case "object":
        return value === null ? null : this.#object(key, value);
      default:
        throw refused(key, `a ${typeof value}`);
    }
  }

  #object(key: string, value: object): TreeValue {
    if (isTree(value)) return value;
    const known = this.#made.get(value);
    if (known !== undefined) return known;
    const made = this.#make(key, value);
    this.#made.set(value, made);
    return made;
  }

  #make(key: string, value: object): TreeValue {
    if (value instanceof Tensor) return this.#refOf(value, key);
    if (Array.isArray(value) || value instanceof Set) {
      const list = new TreeList(Array.isArray(value) ? "list" : "set");
      this.#unfilled.push(() => {
        for (const each of value as Iterable<unknown>) list.elements.push(this.#value(key, each));
      });
      return list;
    }
    const entries = entriesOf(value);
    if (entries === null) throw refused(key, `a ${value.constructor?.name ?? "object"}`);
    const dict = new TreeDict();
    this.#unfilled.push(() => {
      for (const [name, each] of entries) dict.entries.set(this.#key(key, name), this.#value(key, each));
    });
    return dict;
  }

  #key(key: string, name: unknown): TreeKey {
    if (name instanceof KeyTuple) return name;
    const tree = this.#value(key, name);
    if (typeof tree !== "object" || tree === null || tree instanceof Uint8Array || tree instanceof OpaqueValue) return tree;
    throw refused(key, "a container as key of a Map");
  }
}

function isTree(
  value: object,
): value is Uint8Array | ComplexValue | OpaqueValue | TreeDict | TreeList | TensorRef | SparseRef | StorageRef {
  return (
    value instanceof Uint8Array ||
    value instanceof ComplexValue ||
    value instanceof OpaqueValue ||
    value instanceof TreeDict ||
    value instanceof TreeList ||
    value instanceof TensorRef ||
    value instanceof SparseRef ||
    value instanceof StorageRef
  );
}

function entriesOf(value: object): Iterable<readonly [unknown, unknown]> | null {
  if (value instanceof Map) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : null;
}

function refused(key: string, what: string): CheckpointError {
  return new CheckpointError("RANKCAST_SAVE_VALUE", `${quote(key)} holds ${what}, which cannot leave this process`, { details: { key } });
}
