/**
 * Values that cross between a rank and a replica's thread. Structured clone carries plain values, Maps and typed arrays; it makes plain
 * objects of tensors and state dicts, loses the class of errors, refuses symbols, and copies the whole buffer behind a small view (a mapped
 * checkpoint, say). A packed value has stand-ins for those, described beside it; clone keeps the identity of objects within one message, so
 * the receiver finds the stand-ins by themselves (`unpack-value.ts`).
 */
import { types } from "node:util";
import { CheckpointError, DEFAULT_LIMITS, DistributionError, Module, StateDict, Tensor } from "@rankcast/core";
import { type ErrorRecord, nativeMemory, quote, toErrorRecord } from "@rankcast/core/runtime";
import { type PackedTensor, TensorPacker } from "./pack-tensors.ts";

/** A stand-in and what it stands for. */
export type StandIn =
  | { readonly holder: object; readonly kind: "tensor"; readonly tensor: PackedTensor }
  | { readonly holder: object; readonly kind: "state-dict"; readonly entries: Map<unknown, unknown>; readonly beside: readonly unknown[] }
  | { readonly holder: object; readonly kind: "error"; readonly error: ErrorRecord; readonly fields: ReadonlyMap<string, unknown> }
  | { readonly holder: object; readonly kind: "symbol"; readonly key: string | null; readonly description: string | null };

/** A value as it crosses. Without stand-ins it is the value itself. */
export interface PackedValue {
  readonly value: unknown;
  readonly standIns: readonly StandIn[];
}

/** A view of less than its buffer is cut out when the rest is larger than this; below, aliasing is kept instead. */
const REST_BYTES_MAX = 65_536;

/**
 * Packs a value. Containers (arrays, Maps, Sets, objects) are copied where something in them needs a stand-in; shared memory stays shared.
 * @throws {DistributionError} RANKCAST_REPLICA_VALUE naming the place of what cannot cross.
 */
export function packValue(value: unknown, what: string): PackedValue {
  const survey = surveyValue(value);
  if (!survey.special && !survey.exotic) return { value, standIns: [] };
  const packed = survey.special ? new Packer(what).packRoot(value) : { value, standIns: [] };
  // Only the engine knows whether it can clone a foreign object; asking costs a copy, so ordinary values are not asked about.
  if (survey.exotic) tryClone(packed, what);
  return packed;
}

function tryClone(packed: PackedValue, what: string): void {
  try {
    structuredClone(packed);
  } catch (cause) {
    throw new DistributionError("RANKCAST_REPLICA_VALUE", `${what} cannot cross threads: ${(cause as Error).message}`, { cause });
  }
}

/**
 * What is somewhere inside a value: `special` needs a stand-in or is refused, `exotic` may be refused by the engine. The engine clones by recursion: a
 * value nested too deeply would end the thread that gets it, so it is special, too: the packer says where it is.
 */
function surveyValue(root: unknown): { readonly special: boolean; readonly exotic: boolean } {
  const seen = new Set<object>();
  const pending: unknown[] = [root];
  const depths: number[] = [0];
  let special = false;
  let exotic = false;
  while (pending.length > 0) {
    const value = pending.pop();
    const depth = depths.pop() ?? 0;
    if (typeof value === "function" || typeof value === "symbol") special = true;
    if (typeof value !== "object" || value === null || seen.has(value)) continue;
    seen.add(value);
    const isStoodFor = isSpecial(value);
    special ||= isStoodFor || depth > DEFAULT_LIMITS.replicaValueDepth;
    const first = pending.length;
    if (!isStoodFor) exotic = pushChildren(pending, value) || exotic;
    else if (value instanceof StateDict) pending.push(value.extraState);
    // In the engine's order: it meets a value that is in several places where it comes first.
    for (let low = first, high = pending.length - 1; low < high; low += 1, high -= 1)
      [pending[low], pending[high]] = [pending[high], pending[low]];
    while (depths.length < pending.length) depths.push(depth + 1);
  }
  return { special, exotic };
}

/** Adds what is looked at beneath a value; whether only the engine knows if the value can be cloned (it has a class, or is of the engine's own kinds). */
function pushChildren(pending: unknown[], value: object): boolean {
  if (Array.isArray(value)) for (const each of value) pushObject(pending, each);
  else if (types.isMap(value)) for (const entry of value) for (const each of entry) pushObject(pending, each);
  else if (types.isSet(value)) for (const each of value) pushObject(pending, each);
  else if (!isBinaryOrBoxed(value)) {
    // A proxy's traps are user code, and the engine refuses it anyway.
    if (!types.isProxy(value)) for (const each of Object.values(value)) pushObject(pending, each);
    return !isPlainObject(value);
  }
  return false;
}

/** Numbers and texts need no second look: an array may hold millions. */
function pushObject(pending: unknown[], value: unknown): void {
  if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") pending.push(value);
}

function isSpecial(value: object): boolean {
  if (ArrayBuffer.isView(value)) return mustBeCutOut(value);
  return value instanceof Tensor || value instanceof StateDict || value instanceof Error || value instanceof Module;
}

/** Small windows of large buffers, which would travel whole, and a replica's mapped weights, which would be shared. */
function mustBeCutOut(view: ArrayBufferView): boolean {
  if (nativeMemory(false)?.isMapped(view.buffer)) return true;
  return !types.isSharedArrayBuffer(view.buffer) && view.buffer.byteLength - view.byteLength > REST_BYTES_MAX;
}

function isBinaryOrBoxed(value: object): boolean {
  return (
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isDate(value) ||
    types.isRegExp(value) ||
    types.isNumberObject(value) ||
    types.isStringObject(value) ||
    types.isBooleanObject(value) ||
    types.isBigIntObject(value)
  );
}

function isPlainObject(value: object): boolean {
  if (types.isProxy(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

class Packer {
  readonly #what: string;
  readonly #standIns: StandIn[] = [];
  readonly #copies = new Map<object | symbol, unknown>();
  readonly #tensors = new TensorPacker();

  constructor(what: string) {
    this.#what = what;
  }

  packRoot(value: unknown): PackedValue {
    const packed = { value: this.#pack(value, this.#what, 0), standIns: this.#standIns };
    this.#tensors.copyStorages();
    return packed;
  }

  #pack(value: unknown, place: string, depth: number): unknown {
    if (typeof value === "function") throw refuse(place, "is a function");
    if (typeof value === "symbol") return this.#symbol(value);
    if (typeof value !== "object" || value === null) return value;
    const known = this.#copies.get(value);
    if (known !== undefined) return known;
    if (depth > DEFAULT_LIMITS.replicaValueDepth) throw refuse(place, "is nested too deeply");
    if (value instanceof Tensor) return this.#standFor(value, (holder) => ({ holder, kind: "tensor", tensor: this.#tensors.add(value) }));
    if (value instanceof StateDict) return this.#stateDict(value, place, depth);
    if (value instanceof Error) return this.#error(value, place, depth);
    if (value instanceof Module) throw refuse(place, "is a Module, which lives in one thread; its stateDict() can cross");
    if (ArrayBuffer.isView(value)) return mustBeCutOut(value) ? this.#remember(value, cutOut(value)) : value;
    if (isBinaryOrBoxed(value) || types.isProxy(value)) return value;
    return this.#container(value, place, depth + 1);
  }

  #container(value: object, place: string, depth: number): unknown {
    if (Array.isArray(value)) {
      const copy = this.#remember(value, new Array<unknown>(value.length));
      // `forEach` leaves holes holes.
      value.forEach((each, index) => {
        copy[index] = this.#pack(each, `${place}[${index}]`, depth);
      });
      return copy;
    }
    if (types.isMap(value)) return this.#map(value, this.#remember(value, new Map()), place, depth);
    if (types.isSet(value)) {
      const copy = this.#remember(value, new Set<unknown>());
      for (const each of value) copy.add(this.#pack(each, `a value of ${place}`, depth));
      return copy;
    }
    const keys = Object.entries(value);
    // Promises, WeakMaps and the like have no fields to copy: the engine is asked about them.
    if (keys.length === 0 && !isPlainObject(value)) return value;
    const copy = this.#remember(value, {});
    for (const [key, each] of keys) {
      const packed = this.#pack(each, `${place}.${quote(key)}`, depth);
      Object.defineProperty(copy, key, { value: packed, enumerable: true, configurable: true, writable: true });
    }
    return copy;
  }

  #map(map: ReadonlyMap<unknown, unknown>, copy: Map<unknown, unknown>, place: string, depth: number): Map<unknown, unknown> {
    for (const [key, each] of map) {
      const name = typeof key === "string" ? quote(key) : typeof key;
      copy.set(this.#pack(key, `a key of ${place}`, depth), this.#pack(each, `${place} at ${name}`, depth));
    }
    return copy;
  }

  /** A record keeps what JSON can hold; fields, causes and the errors of an aggregate are values of their own. */
  #error(error: Error, place: string, depth: number): object {
    return this.#standFor(error, (holder) => {
      const fields = new Map<string, unknown>();
      for (const [name, value] of fieldsOf(error)) {
        try {
          const packed = this.#pack(value, `${name} of ${place}`, depth + 1);
          if (surveyValue(value).exotic) structuredClone(packed);
          fields.set(name, packed);
        } catch {
          // What cannot cross is in the record, as text, or was no part of what happened.
        }
      }
      return { holder, kind: "error", error: toErrorRecord(error), fields };
    });
  }

  #stateDict(stateDict: StateDict, place: string, depth: number): object {
    return this.#standFor(stateDict, (holder) => {
      const entries = this.#map(stateDict, new Map(), place, depth + 1);
      const beside = [stateDict.metadata, stateDict.extraState].map((each) => this.#pack(each, `metadata of ${place}`, depth + 1));
      return { holder, kind: "state-dict", entries, beside };
    });
  }

  #symbol(value: symbol): object {
    const known = this.#copies.get(value);
    if (known !== undefined) return known as object;
    return this.#standFor(value, (holder) => ({
      holder,
      kind: "symbol",
      key: Symbol.keyFor(value) ?? null,
      description: value.description ?? null,
    }));
  }

  #standFor(value: object | symbol, describe: (holder: object) => StandIn): object {
    const holder = this.#remember(value, {});
    this.#standIns.push(describe(holder));
    return holder;
  }

  #remember<T>(value: object | symbol, copy: T): T {
    this.#copies.set(value, copy);
    return copy;
  }
}

/** What an error has beside what its record tells of every error. Ours keep everything in their record, but causes. */
function fieldsOf(error: Error): [string, unknown][] {
  const fields = error instanceof CheckpointError ? [] : Object.entries(error).filter(([name]) => !RECORDED.has(name));
  if (error.cause !== undefined) fields.push(["cause", error.cause]);
  if (error instanceof AggregateError) fields.push(["errors", error.errors]);
  return fields.slice(0, ERROR_FIELDS_MAX);
}

const RECORDED: ReadonlySet<string> = new Set(["name", "message", "stack", "cause", "errors"]);
const ERROR_FIELDS_MAX = 64;
/** Of a path to something in a value. */
const PLACE_CHARS_MAX = 400;

/** The same kind of view over a buffer of its own. */
function cutOut(view: ArrayBufferView): ArrayBufferView {
  const { buffer, byteOffset, byteLength } = view;
  const copy = new ArrayBuffer(byteLength);
  new Uint8Array(copy).set(new Uint8Array(buffer, byteOffset, byteLength));
  if (types.isDataView(view)) return new DataView(copy);
  const kind = Buffer.isBuffer(view) ? Uint8Array : (view.constructor as new (buffer: ArrayBuffer) => ArrayBufferView);
  return new kind(copy);
}

function refuse(path: string, why: string): DistributionError {
  const place = path.length > PLACE_CHARS_MAX ? `${path.slice(0, PLACE_CHARS_MAX / 2)}...${path.slice(-PLACE_CHARS_MAX / 2)}` : path;
  return new DistributionError("RANKCAST_REPLICA_VALUE", `${place} ${why} and cannot cross threads`, { details: { place } });
}
