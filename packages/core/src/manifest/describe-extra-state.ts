/**
 * Values of a decoded checkpoint as rows of extra state:
 *
 *     integer  label: decimal digits                       (what a number cannot hold)
 *     bytes    bytes
 *     complex  numbers: real part, imaginary part
 *     tuple    parts: a dict key that is a tuple
 *     tensor   numbers: index into the manifest's tensors
 *     sparse   label: layout; numbers: coalesced, shape; parts: name, tensor, …
 *     storage  label: device; numbers: size                (its bytes stay where they are)
 *     view     label: element type; numbers: offset, shape, stride; parts: storage   (a tensor inside an opaque value)
 *     list     label: its type; parts: elements
 *     dict     label: its class; parts: key, value, …
 *     opaque   label: its class; numbers: dangerous, count of arguments, of elements; parts: state, arguments, elements, key, value, …
 *
 * Tuples, sparse tensors and views come behind what they are made of; containers may name any row.
 */
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
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
} from "./checkpoint-tree.ts";
import type { ExtraPart, ExtraRow, ExtraState } from "./extra-state.ts";

/** What describing needs to know. */
export interface DescribeExtraStateOptions {
  readonly limits: Limits;
  /** Name of the checkpoint, for messages. */
  readonly where: string;
  /** Index of a tensor whose bytes are loaded; undefined for one that is only described. */
  readonly indexOf: (ref: TensorRef) => number | undefined;
}

/**
 * The rows of `values`, which are full keys with what is saved under them. Iterative; shared and cyclic containers stay so.
 * @throws {FormatError} RANKCAST_LIMIT above `extraStateValues`.
 */
export function describeExtraState(values: Iterable<readonly [string, TreeValue]>, options: DescribeExtraStateOptions): ExtraState {
  const table = new Table(options);
  const entries = Array.from(values, ([key, value]) => [key, table.part(value)] as const);
  table.fill();
  return { entries, rows: table.rows };
}

type Growing = ExtraRow & { readonly numbers: number[]; readonly parts: ExtraPart[] };
type Container = TreeDict | TreeList | OpaqueValue;

class Table {
  readonly rows: Growing[] = [];
  readonly #options: DescribeExtraStateOptions;
  readonly #known = new Map<object, number>();
  readonly #unfilled: (readonly [Container, Growing])[] = [];
  #count = 0;

  constructor(options: DescribeExtraStateOptions) {
    this.#options = options;
  }

  /** Describes what is in the containers that were met, until nothing new is met. */
  fill(): void {
    for (let next = this.#unfilled.pop(); next; next = this.#unfilled.pop()) this.#fillContainer(...next);
  }

  part(value: TreeValue | KeyTuple): ExtraPart {
    this.#count += 1;
    const { limits, where } = this.#options;
    if (this.#count > limits.extraStateValues) {
      enforceLimit(limits, "extraStateValues", this.#count, { file: where, what: "values of extra state" });
    }
    if (value === null || typeof value === "number" || typeof value === "boolean" || typeof value === "string") return value;
    // Equal integers need not be one row.
    if (typeof value === "bigint") return [this.#row("integer", String(value))];
    return [this.#known.get(value) ?? this.#describe(value)];
  }

  #describe(value: Exclude<TreeValue | KeyTuple, null | number | boolean | string | bigint>): number {
    const row = this.#rowOf(value);
    this.#known.set(value, row);
    return row;
  }

  #rowOf(value: Exclude<TreeValue | KeyTuple, null | number | boolean | string | bigint>): number {
    if (value instanceof Uint8Array) return this.#row("bytes", "", [], [], value);
    if (value instanceof ComplexValue) return this.#row("complex", "", [value.re, value.im]);
    if (value instanceof StorageRef) return this.#row("storage", value.savedDevice, [value.nbytes]);
    if (value instanceof TensorRef) return this.#tensor(value);
    if (value instanceof SparseRef) {
      const parts = [...value.parts].flatMap(([name, part]) => [name, this.part(part)]);
      return this.#row("sparse", value.layout, [value.coalesced ? 1 : 0, ...value.shape], parts);
    }
    // Bounded by `keyTupleLength` where the key was read.
    if (value instanceof KeyTuple)
      return this.#row(
        "tuple",
        "",
        [],
        value.parts.map((part) => this.part(part)),
      );
    return this.#container(value);
  }

  #tensor(value: TensorRef): number {
    const index = this.#options.indexOf(value);
    if (index !== undefined) return this.#row("tensor", "", [index]);
    const { dtype, storageOffset, shape, stride } = value;
    return this.#row("view", dtype, [storageOffset, ...shape, ...stride], [this.part(value.storage)]);
  }

  #container(value: Container): number {
    const label = value instanceof OpaqueValue ? value.global : value.type;
    const index = this.#row(value.kind, label);
    this.#unfilled.push([value, this.rows[index] as Growing]);
    return index;
  }

  #fillContainer(value: Container, { numbers, parts }: Growing): void {
    const add = (each: TreeValue | TreeKey): void => {
      parts.push(this.part(each));
    };
    if (value instanceof OpaqueValue) {
      numbers.push(value.dangerous ? 1 : 0, value.args.length, value.elements.length);
      add(value.state);
      for (const each of value.args) add(each);
    }
    if (!(value instanceof TreeDict)) for (const each of value.elements) add(each);
    if (!(value instanceof TreeList)) {
      for (const [key, entry] of value.entries) {
        add(key);
        add(entry);
      }
    }
  }

  #row(type: ExtraRow["type"], label: string, numbers: number[] = [], parts: ExtraPart[] = [], bytes: Uint8Array | null = null): number {
    return this.rows.push({ type, label, numbers, parts, bytes }) - 1;
  }
}
