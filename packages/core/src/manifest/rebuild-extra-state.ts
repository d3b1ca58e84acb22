/** Rows of extra state as the values they describe. What rows say is checked: a peer's are trusted no more than a file's. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { isDType } from "../tensor/dtype.ts";
import {
  ComplexValue,
  type KeyPart,
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

/** What a row stands for. Tuples are dict keys only. */
type Made = TreeValue | KeyTuple;

const LIST_TYPES = ["list", "tuple", "set", "frozenset", "deque", "Size"] as const;
const LAYOUTS = ["coo", "csr", "csc", "bsr", "bsc"] as const;

/**
 * Full keys and values. `tensorAt` gives the reference that stands for a tensor of the manifest, undefined where there is none. A tensor
 * inside an opaque value is described and has no bytes.
 * @throws {FormatError} RANKCAST_MANIFEST_MALFORMED when rows are not what `describeExtraState` makes.
 */
export function rebuildExtraState(
  { entries, rows }: ExtraState,
  tensorAt: (index: number) => TensorRef | undefined,
): (readonly [string, TreeValue])[] {
  const made: Made[] = [];
  const resolve = (part: ExtraPart, row: number): Made => {
    if (!Array.isArray(part)) return part as Made;
    const found = made[part[0] as number];
    if (found === undefined) throw malformed(row, `there is no row ${part[0]} it could name`);
    return found;
  };
  // Containers are made empty and filled when every row is there, so that they may name each other.
  rows.forEach((row, index) => {
    made.push(makeRow(row, index, { resolve: (part) => resolve(part, index), tensorAt }));
  });
  rows.forEach((row, index) => {
    fillRow(row, made[index] as Made, index, (part) => resolve(part, index));
  });
  return entries.map(([key, part]) => [key, treeValue(resolve(part, rows.length), rows.length)] as const);
}

interface Makers {
  readonly resolve: (part: ExtraPart) => Made;
  readonly tensorAt: (index: number) => TensorRef | undefined;
}

function makeRow(row: ExtraRow, index: number, { resolve, tensorAt }: Makers): Made {
  const { label, numbers } = row;
  switch (row.type) {
    case "integer":
      if (!/^-?\d{1,10000}$/.test(label)) throw malformed(index, "expected an integer");
      return BigInt(label);
    case "bytes":
      return row.bytes ?? new Uint8Array();
    case "complex":
      return new ComplexValue(numbers[0] ?? 0, numbers[1] ?? 0);
    case "tuple":
      return new KeyTuple(row.parts.map((part) => keyPart(resolve(part), index)));
    case "tensor":
      return required(tensorAt(numbers[0] ?? -1), index, "a tensor");
    case "sparse":
      return makeSparse(row, index, resolve);
    case "storage":
      return new StorageRef({ nbytes: numbers[0] ?? 0, pieces: [], savedDevice: label, meta: true });
    case "view":
      return makeView(row, index, resolve);
    case "list":
      return new TreeList(
        required(
          LIST_TYPES.find((type) => type === label),
          index,
          "a type of sequence",
        ),
      );
    case "dict":
      return new TreeDict(label);
    case "opaque": {
      const args = row.parts.slice(1, 1 + (numbers[1] ?? 0)).map(() => null);
      return new OpaqueValue(label, args, numbers[0] === 1);
    }
  }
}

function makeSparse({ label, numbers, parts }: ExtraRow, index: number, resolve: Makers["resolve"]): SparseRef {
  const layout = required(
    LAYOUTS.find((each) => each === label),
    index,
    "a layout",
  );
  const tensors = new Map<string, TensorRef>();
  for (let at = 0; at < parts.length; at += 2) {
    const tensor = resolve(parts[at + 1] ?? null);
    if (!(tensor instanceof TensorRef)) throw malformed(index, "expected tensors as parts");
    tensors.set(String(parts[at]), tensor);
  }
  return new SparseRef(layout, numbers.slice(1), tensors, numbers[0] === 1);
}

function makeView({ label, numbers, parts }: ExtraRow, index: number, resolve: Makers["resolve"]): TensorRef {
  const storage = resolve(parts[0] ?? null);
  if (!isDType(label) || !(storage instanceof StorageRef)) throw malformed(index, "expected an element type and a storage");
  const [storageOffset = 0, ...rest] = numbers;
  const rank = rest.length / 2;
  return new TensorRef({ dtype: label, shape: rest.slice(0, rank), stride: rest.slice(rank), storageOffset, storage });
}

function fillRow(row: ExtraRow, made: Made, index: number, resolve: Makers["resolve"]): void {
  const parts = row.parts;
  const value = (part: ExtraPart | undefined): TreeValue => treeValue(resolve(part ?? null), index);
  if (made instanceof TreeList) for (const part of parts) made.elements.push(value(part));
  else if (made instanceof TreeDict) {
    for (let at = 0; at < parts.length; at += 2) made.entries.set(dictKey(resolve(parts[at] ?? null), index), value(parts[at + 1]));
  } else if (made instanceof OpaqueValue) {
    made.state = value(parts[0]);
    const args = made.args as TreeValue[];
    const elements = 1 + args.length;
    const entries = elements + (row.numbers[2] ?? 0);
    for (let at = 1; at < elements; at += 1) args[at - 1] = value(parts[at]);
    for (let at = elements; at < Math.min(entries, parts.length); at += 1) made.elements.push(value(parts[at]));
    for (let at = entries; at < parts.length; at += 2) made.entries.push([value(parts[at]), value(parts[at + 1])]);
  }
}

function treeValue(made: Made, row: number): TreeValue {
  if (made instanceof KeyTuple) throw malformed(row, "a tuple that is a key is no value");
  return made;
}

function dictKey(made: Made, row: number): TreeKey {
  if (typeof made !== "object" || made === null || made instanceof KeyTuple || made instanceof Uint8Array || made instanceof OpaqueValue)
    return made;
  throw malformed(row, "a container is no key");
}

function keyPart(made: Made, row: number): KeyPart {
  if (typeof made !== "object" || made === null || made instanceof KeyTuple) return made;
  throw malformed(row, "a container is no part of a key");
}

function required<Value>(value: Value | undefined, row: number, what: string): Value {
  if (value === undefined) throw malformed(row, `expected ${what}`);
  return value;
}

function malformed(row: number, text: string): FormatError {
  return new FormatError("RANKCAST_MANIFEST_MALFORMED", `extra state, row ${row}: ${text}`, { details: { where: "extra state", row } });
}
