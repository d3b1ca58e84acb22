/**
 * Keys of a pickled dict. Python hashes a key by its content; a tuple of tuples that share their parts then takes exponential time, so
 * tuples are bounded by the number of their leaves. Equality is Python's: `1`, `1.0` and `True` are one key, and a key that is written
 * again keeps its first place.
 */
import { type KeyPart, KeyTuple, OpaqueValue, type TreeDict, type TreeKey, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { BYTES_BYTES, ENTRY_BYTES, KEY_TUPLE_BYTES, TABLE_BYTES } from "./heap-costs.ts";
import type { PickleCall } from "./known-global.ts";
import { GUARDED_KEYS_MIN, NumberKeyGuard } from "./number-keys.ts";
import { ByteString, IntegralFloat, isUnsettled } from "./unsettled.ts";

const UNHASHABLE_LISTS = new Set(["list", "set", "deque"]);

/** Writes entries into the dicts of one pickle. */
export class DictKeys {
  private readonly call: PickleCall;
  /** Keys that are objects here and values in Python, by their content. */
  private readonly contents: WeakMap<TreeDict, Map<string, TreeKey>> = new WeakMap();
  private readonly guards: WeakMap<TreeDict, NumberKeyGuard> = new WeakMap();

  constructor(call: PickleCall) {
    this.call = call;
  }

  /** `dict[key] = value`. @throws {FormatError} RANKCAST_PICKLE_KEY for a key Python cannot hash, RANKCAST_LIMIT for one that is too deep. */
  set(dict: TreeDict, key: TreeValue, value: TreeValue): void {
    this.call.charge(dict.size === 0 ? TABLE_BYTES : ENTRY_BYTES);
    if (typeof key === "string") dict.entries.set(key, value);
    else if (typeof key === "number") this.setNumber(dict, key, value);
    else this.setOther(dict, this.toKey(key), value);
  }

  private setOther(dict: TreeDict, key: TreeKey, value: TreeValue): void {
    if (typeof key === "number" || typeof key === "bigint") this.setNumber(dict, key, value);
    else if (typeof key === "boolean") dict.entries.set(dict.entries.has(Number(key)) ? Number(key) : key, value);
    else if (key instanceof KeyTuple || key instanceof Uint8Array) dict.entries.set(this.firstEqual(dict, key), value);
    else dict.entries.set(key, value);
  }

  private setNumber(dict: TreeDict, key: number | bigint, value: TreeValue): void {
    const { entries } = dict;
    if ((key === 0 || key === 1) && entries.has(key === 1)) {
      entries.set(key === 1, value);
      return;
    }
    if (entries.size >= GUARDED_KEYS_MIN && !entries.has(key)) this.guardOf(dict).add(key);
    entries.set(key, value);
  }

  private guardOf(dict: TreeDict): NumberKeyGuard {
    const known = this.guards.get(dict);
    if (known !== undefined) return known;
    const guard = new NumberKeyGuard(this.call);
    this.guards.set(dict, guard);
    for (const key of dict.entries.keys()) if (typeof key === "number" || typeof key === "bigint") guard.add(key);
    return guard;
  }

  /** The key of `dict` that equals `key`, or `key` itself when it is new. */
  private firstEqual(dict: TreeDict, key: KeyTuple | Uint8Array): TreeKey {
    let known = this.contents.get(dict);
    if (known === undefined) {
      known = new Map();
      this.contents.set(dict, known);
    }
    const content = key instanceof KeyTuple ? key.text : `bytes ${Buffer.from(key).toString("latin1")}`;
    this.call.charge(2 * content.length + (key instanceof KeyTuple ? KEY_TUPLE_BYTES : BYTES_BYTES));
    const first = known.get(content);
    if (first !== undefined) return first;
    known.set(content, key);
    return key;
  }

  private toKey(value: TreeValue): TreeKey {
    if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
    if (isUnsettled(value)) return this.toPart(value) as TreeKey;
    if (value instanceof OpaqueValue) return value;
    if (value instanceof TreeList && (value.type === "tuple" || value.type === "Size")) return this.toTuple(value);
    this.refuseUnhashable(value);
    // Hashable, but no key a reader could ask for: kept whole, by identity.
    return new OpaqueValue(value instanceof TreeList ? `builtins.${value.type}` : `rankcast.${value.kind}`, [value]);
  }

  /** A tuple as a key; kept whole as an object when it holds something other than plain values. */
  private toTuple(tuple: TreeList): TreeKey {
    const budget = { left: this.call.limits.keyTupleLength };
    return this.foldTuple(tuple, budget) ?? new OpaqueValue("builtins.tuple", [tuple]);
  }

  /** Depth is bounded by the budget: every level, even an empty one, takes from it. */
  private foldTuple(tuple: TreeList, budget: { left: number }): KeyTuple | null {
    const parts: KeyPart[] = [];
    let plain = true;
    for (const element of tuple.elements) {
      budget.left -= 1;
      if (budget.left < 0) {
        const { keyTupleLength } = this.call.limits;
        throw this.call.refuse("RANKCAST_LIMIT", `a tuple that is a dict key has more than keyTupleLength = ${keyTupleLength} parts`, {
          limit: "keyTupleLength",
          allowed: keyTupleLength,
        });
      }
      const part = element instanceof TreeList && element.type === "tuple" ? this.foldTuple(element, budget) : this.toPart(element);
      // A long text may be in the memo, and a tuple of it takes four bytes each time.
      if (typeof part === "string") this.call.charge(2 * part.length);
      if (part === null && element !== null) plain = false;
      else parts.push(part as KeyPart);
    }
    return plain ? new KeyTuple(parts) : null;
  }

  /** A plain value as a part of a tuple; null for others that are hashable. */
  private toPart(value: TreeValue): KeyPart {
    if (value === null || typeof value !== "object") return value;
    if (isUnsettled(value)) {
      if (value instanceof IntegralFloat) return value.number;
      if (value instanceof ByteString) return value.text;
      throw this.call.refuse("RANKCAST_PICKLE_KEY", "a dict key of this size is no name");
    }
    this.refuseUnhashable(value);
    return null;
  }

  private refuseUnhashable(value: TreeValue): void {
    const type = value instanceof TreeList ? value.type : (value as { readonly kind?: string }).kind;
    if (type === "dict" || (type !== undefined && UNHASHABLE_LISTS.has(type))) {
      throw this.call.refuse("RANKCAST_PICKLE_KEY", `a ${type} cannot be a dict key`, { found: type });
    }
  }
}
