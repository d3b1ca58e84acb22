/**
 * Values beside the tensors of a state dict as pickle opcodes that `torch.load(weights_only=True)` reads. Containers are memoised as Python does
 * it, so what is shared stays shared, and a container that holds itself can be written.
 */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { ComplexValue, KeyTuple, OpaqueValue } from "../manifest/checkpoint-tree.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { PickleWriter } from "./pickle-writer.ts";

/** Containers deeper than this are refused: nobody nests so deep, and each level costs a frame of the stack. */
const DEPTH_MAX = 100;

/** Writes values into one pickle. */
export class ValuePickler {
  readonly #writer: PickleWriter;
  readonly #tensor: (name: string, tensor: Tensor) => void;

  constructor(writer: PickleWriter, tensor: (name: string, tensor: Tensor) => void) {
    this.#writer = writer;
    this.#tensor = tensor;
  }

  /**
   * Pushes `value`: Maps and plain objects as dicts, arrays as lists, Sets as sets, byte arrays as bytes. An opaque value is refused: writing it
   * would be writing a call of its class, which the next reader may run.
   * @throws {CheckpointError} RANKCAST_SAVE_VALUE naming `name`, the key that it lies under.
   */
  write(name: string, value: unknown, depth = 0): void {
    if (depth > DEPTH_MAX) refuseValue(name, `containers more than ${DEPTH_MAX} deep`);
    const writer = this.#writer;
    switch (typeof value) {
      case "undefined":
        writer.none();
        break;
      case "boolean":
        writer.boolean(value);
        break;
      case "number":
        if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.integer(value);
        else writer.float(value);
        break;
      case "bigint":
        writer.integer(value);
        break;
      case "string":
        writer.text(value);
        break;
      case "object":
        if (value === null) writer.none();
        else this.#object(name, value, depth);
        break;
      default:
        refuseValue(name, `a ${typeof value}`);
    }
  }

  #object(name: string, value: object, depth: number): void {
    const writer = this.#writer;
    if (value instanceof Tensor) this.#tensor(name, value);
    else if (value instanceof Uint8Array) writer.bytes(value);
    else if (value instanceof ComplexValue) writer.complex(value.re, value.im);
    else if (value instanceof OpaqueValue) refuseOpaque(name, value);
    else if (!writer.recall(value)) this.#container(name, value, depth);
  }

  #container(name: string, value: object, depth: number): void {
    const writer = this.#writer;
    if (Array.isArray(value)) {
      writer.list().remember(value);
      this.#elements(name, value, depth);
    } else if (value instanceof Set) {
      // Nothing in a Python set can hold the set, so it need not be known before it is full.
      writer.global("__builtin__", "set").tuple(1, () => {
        writer.list();
        this.#elements(name, [...value], depth);
      });
      writer.reduce().remember(value);
    } else {
      const pairs = pairsOf(value);
      if (pairs === null) refuseValue(name, `an object of the class ${printable(value.constructor?.name ?? "?")}`);
      writer.dict().remember(value);
      if (pairs.length > 0)
        writer.items(pairs, ([key, item]) => {
          this.#key(name, key);
          this.write(name, item, depth + 1);
        });
    }
  }

  #elements(name: string, values: readonly unknown[], depth: number): void {
    if (values.length === 0) return;
    this.#writer.elements(values, (value) => {
      this.write(name, value, depth + 1);
    });
  }

  #key(name: string, key: unknown): void {
    if (key instanceof KeyTuple) {
      this.#writer.tuple(key.parts.length, () => {
        for (const part of key.parts) this.#key(name, part);
      });
    } else if (key instanceof OpaqueValue) refuseOpaque(name, key);
    else if (typeof key === "object" && key !== null && !(key instanceof Uint8Array)) refuseValue(name, "an object as key of a dict");
    else this.write(name, key);
  }
}

function pairsOf(value: object): readonly (readonly [unknown, unknown])[] | null {
  if (value instanceof Map) return [...value];
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? Object.entries(value) : null;
}

function refuseOpaque(name: string, { global }: OpaqueValue): never {
  throw new CheckpointError(
    "RANKCAST_SAVE_VALUE",
    `${quote(name)} holds an object of ${quote(global)}, which was kept opaque and cannot be saved`,
    {
      details: { key: name, global },
      remedy: `Delete it (stateDict.extraState.delete(key)), or put plain values and tensors in its place; saveSafetensors leaves extra state out and lists it.`,
    },
  );
}

function refuseValue(name: string, what: string): never {
  throw new CheckpointError("RANKCAST_SAVE_VALUE", `${quote(name)} holds ${what}, which cannot be saved`, { details: { key: name } });
}
