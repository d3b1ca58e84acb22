/** Sources and inputs for format tests: bytes in memory, files of a fixture directory, and the digest of every tensor of a tree. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { crc32, inflateRawSync } from "node:zlib";
import { compileLimits, DTYPES, FormatError, SourceError, StateDict, Storage, Tensor } from "@rankcast/core";
import {
  type CheckpointTree,
  type FormatInput,
  HeapBudget,
  memorySource,
  type Siblings,
  type StoragePiece,
  type StorageRef,
  TensorRef,
  type TreeValue,
} from "@rankcast/core/internal";
import { EXPECTED, FIXTURES, type FixtureRow } from "../../support/fixtures.js";

/** Rows of expected.json whose path matches. */
export function expectedRows(prefix: RegExp): [string, FixtureRow][] {
  return [...EXPECTED].filter(([path]) => prefix.test(path));
}

/** Named byte arrays as siblings. */
export function memorySiblings(files: ReadonlyMap<string, Uint8Array>): Siblings {
  return {
    list: async () => [...files.keys()].sort(),
    open: async (name) => {
      const bytes = files.get(name);
      if (!bytes) throw new SourceError("RANKCAST_NOT_FOUND", `no file ${name}`);
      return memorySource(bytes, name);
    },
    close: async () => {},
  };
}

/** Files of a directory, one level of folders included. */
export function directoryFiles(directory: string): Map<string, Uint8Array> {
  const names = readdirSync(directory).flatMap((name) =>
    statSync(join(directory, name)).isDirectory() ? readdirSync(join(directory, name)).map((inner) => `${name}/${inner}`) : [name],
  );
  return new Map(
    names.filter((name) => statSync(join(directory, name)).isFile()).map((name) => [name, readFileSync(join(directory, name))]),
  );
}

/** What a format gets for these bytes. */
export function inputOf(
  bytes: Uint8Array,
  options: { readonly name?: string; readonly files?: ReadonlyMap<string, Uint8Array>; readonly limits?: Record<string, number> } = {},
): FormatInput {
  const limits = compileLimits(options.limits ?? {});
  return {
    source: memorySource(bytes, options.name ?? "memory"),
    head: bytes.subarray(0, 4096),
    siblings: memorySiblings(options.files ?? new Map()),
    limits,
    heap: new HeapBudget(limits, bytes.length),
    signal: undefined,
    nesting: 0,
  };
}

/** What a format gets for a fixture file. */
export function fixtureInput(path: string): FormatInput {
  const file = join(FIXTURES, path);
  return inputOf(readFileSync(file), { name: basename(path), files: directoryFiles(dirname(file)) });
}

/** Every leaf of a tree by dotted name. */
export function leavesOf(root: TreeValue): Map<string, TreeValue> {
  const leaves = new Map<string, TreeValue>();
  const stack: [string | null, TreeValue][] = [[null, root]];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const [path, value] = next;
    const inner = (key: string) => (path === null ? key : `${path}.${key}`);
    if (typeof value === "object" && value !== null && "kind" in value && value.kind === "dict")
      stack.push(...[...value.entries].map(([key, each]): [string, TreeValue] => [inner(String(key)), each]).reverse());
    else if (typeof value === "object" && value !== null && "kind" in value && value.kind === "list")
      stack.push(...value.elements.map((each, index): [string, TreeValue] => [inner(String(index)), each]).reverse());
    else leaves.set(path ?? "", value);
  }
  return leaves;
}

/** Name, dtype, shape and digest of every tensor, in tree order. */
export async function digestTree(tree: CheckpointTree): Promise<{ name: string; dtype: string; shape: number[]; sha256: string }[]> {
  const rows = [];
  for (const [name, value] of leavesOf(tree.root)) {
    if (!(value instanceof TensorRef)) continue;
    const bytes = await tensorBytes(tree, value);
    rows.push({ name, dtype: value.dtype, shape: [...value.shape], sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  return rows;
}

/** The state dict of a flat tree with its bytes read; names on one storage share it. */
export async function materialise(tree: CheckpointTree): Promise<StateDict> {
  const storages = new Map<StorageRef, Storage>();
  const stateDict = new StateDict();
  for (const [name, ref] of leavesOf(tree.root)) {
    if (!(ref instanceof TensorRef)) continue;
    const storage = storages.get(ref.storage) ?? (await fillStorage(tree, ref.storage));
    storages.set(ref.storage, storage);
    const { dtype, shape, stride, storageOffset, conj, neg, requiresGrad } = ref;
    stateDict.set(name, new Tensor({ dtype, shape, stride, storageOffset, storage, conj, neg, requiresGrad }));
  }
  return stateDict;
}

/** The logical elements of a tensor, row-major. */
export async function tensorBytes(tree: CheckpointTree, ref: TensorRef): Promise<Uint8Array> {
  const storage = await fillStorage(tree, ref.storage);
  const tensor = new Tensor({
    dtype: ref.dtype,
    shape: ref.shape,
    stride: ref.stride,
    storageOffset: ref.storageOffset,
    storage,
  }).contiguous();
  const bits = DTYPES.get(ref.dtype)?.bits ?? 8;
  return tensor.storage.bytes((tensor.storageOffset * bits) / 8, Math.ceil((tensor.elementCount * bits) / 8));
}

async function fillStorage(tree: CheckpointTree, ref: StorageRef): Promise<Storage> {
  const storage = Storage.allocate(ref.nbytes);
  const filled = new Uint8Array(ref.nbytes);
  for (const piece of ref.pieces) {
    const bytes = await pieceBytes(tree, piece);
    placePiece(storage.bytes(), filled, piece, bytes);
  }
  if (filled.some((count) => count !== 1)) throw new Error(`pieces of storage ${ref.key} leave bytes out or write them twice`);
  const all = storage.bytes();
  for (let at = 0; ref.swapBytes > 1 && at < all.length; at += ref.swapBytes) all.subarray(at, at + ref.swapBytes).reverse();
  return storage;
}

async function pieceBytes(tree: CheckpointTree, piece: StoragePiece): Promise<Uint8Array> {
  if (piece.extent.type === "inline") return piece.extent.bytes;
  const { extent } = piece;
  const stored = new Uint8Array(extent.storedBytes);
  await tree.sources[extent.source]?.readInto(stored, extent.offset);
  const bytes = extent.encoding === "deflate" ? inflated(stored, piece.nbytes) : stored;
  if (extent.crc32 !== null && crc32(bytes) !== extent.crc32)
    throw new FormatError("RANKCAST_CHECKSUM", `${extent.record}: checksum differs`);
  if (bytes.length !== piece.nbytes) throw new Error(`piece of ${bytes.length} bytes, not ${piece.nbytes}`);
  return bytes;
}

function inflated(stored: Uint8Array, nbytes: number): Uint8Array {
  try {
    return new Uint8Array(inflateRawSync(stored, { maxOutputLength: Math.max(nbytes, 1) }));
  } catch (cause) {
    throw new FormatError("RANKCAST_INFLATE", "the record does not inflate to its size", { cause });
  }
}

function placePiece(into: Uint8Array, filled: Uint8Array, piece: StoragePiece, bytes: Uint8Array): void {
  if (!piece.rectangle) {
    into.set(bytes, piece.at);
    for (let at = piece.at; at < piece.at + bytes.length; at += 1) filled[at] = (filled[at] ?? 0) + 1;
    return;
  }
  const { shape, offsets, sizes, itemBytes } = piece.rectangle;
  const count = sizes.reduce((product, size) => product * size, 1);
  for (let element = 0; element < count; element += 1) {
    let rest = element;
    let at = 0;
    let step = 1;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const size = sizes[axis] ?? 1;
      at += ((rest % size) + (offsets[axis] ?? 0)) * step;
      rest = Math.floor(rest / size);
      step *= shape[axis] ?? 1;
    }
    into.set(bytes.subarray(element * itemBytes, (element + 1) * itemBytes), at * itemBytes);
    for (let byte = 0; byte < itemBytes; byte += 1) filled[at * itemBytes + byte] = (filled[at * itemBytes + byte] ?? 0) + 1;
  }
}

/** Runs `work` and gives the FormatError it must throw. */
export async function refusalOf(work: () => unknown): Promise<FormatError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error("accepted");
}

/** A safetensors file with this header text and data. */
export function safetensorsFile(header: string | Uint8Array, data: Uint8Array = new Uint8Array(0)): Buffer {
  const text = Buffer.from(header as Uint8Array);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, data]);
}
