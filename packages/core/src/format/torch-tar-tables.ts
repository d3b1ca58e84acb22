/**
 * The binary tables of a torch 0.1 tar: `storages` holds storages and the views of them, `tensors` holds views of storages as tensors. Both
 * mix small pickles with raw little-endian numbers. Fact source: torch `serialization.py`, `legacy_load`.
 *
 *     storages:  n | n x { (key, location, class) | int64 count | bytes } | [(view key, root key, offset, count)]
 *     tensors:   n | n x { (key, storage key, class) | int32 rank | 4 bytes | rank x int64 sizes | rank x int64 strides | int64 offset }
 */

import type { TensorRef } from "../manifest/checkpoint-tree.ts";
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { Reading } from "../pickle/byte-reading.ts";
import { countOf, describe, textOf } from "../pickle/call-arguments.ts";
import { decodePickle } from "../pickle/read-pickle.ts";
import { narrow } from "../pickle/text-line.ts";
import { storageClassNamed, storageItemBytes, tensorClassNamed } from "../pickle/torch-names.ts";
import { TypedStorage } from "../pickle/torch-storage.ts";
import { makeTensor } from "../pickle/torch-tensor.ts";
import { windowOf } from "./torch-legacy-storages.ts";
import type { TableCall } from "./torch-tar-call.ts";

const INT64_BYTES = 8;
const RANK_BYTES = 8;

/** What the tables name, by key. */
export interface TarTables {
  readonly storages: Map<string, TypedStorage>;
  readonly tensors: Map<string, TensorRef>;
}

/** A key as the tables and the pickle's persistent ids write it: an int, or its digits. */
export function tarKey(value: TreeValue | undefined): string | null {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  const text = textOf(value);
  return text !== null && /^-?[0-9]{1,20}$/.test(text) ? text : null;
}

/** Reads the table of storages in `[begin, end)`. @throws {FormatError} RANKCAST_TAR_RECORD, RANKCAST_STORAGE_*, truncated, pickle. */
export function* readTarStorages(begin: number, end: number, tables: TarTables, call: TableCall): Reading<void> {
  let [count, at] = yield* readCount(begin, end, call);
  for (; count > 0; count -= 1) {
    const [[key, location, type], after] = yield* readTuple(at, end, 3, call);
    const elementType = storageClassNamed(type);
    const name = newKey(key, tables.storages, call);
    if (elementType === null) throw call.refuse("RANKCAST_STORAGE_CLASS", `a storage has the class ${describe(type ?? null)}`);
    const elements = (yield* readIntegers(after, end, 1, call))[0];
    const offset = after + INT64_BYTES;
    const nbytes = (countOf(elements) ?? Number.NaN) * storageItemBytes(elementType);
    if (!(offset + nbytes <= end)) {
      throw call.refuse("RANKCAST_TRUNCATED", `storage ${name} has ${describe(elements ?? null)} elements, ${end - offset} bytes are left`);
    }
    const extent = {
      type: "range",
      source: 0,
      offset,
      storedBytes: nbytes,
      encoding: "stored",
      crc32: null,
      record: `storage ${name}`,
    } as const;
    const pieces = nbytes === 0 ? [] : [{ at: 0, nbytes, extent }];
    tables.storages.set(
      name,
      new TypedStorage({ nbytes, pieces, elementType, savedDevice: (textOf(location) ?? "").slice(0, 64), key: name }),
    );
    at = offset + nbytes;
  }
  yield* readViews(at, end, tables, call);
}

function* readViews(begin: number, end: number, { storages }: TarTables, call: TableCall): Reading<void> {
  const views = yield* readPickled(begin, end, call);
  if (!(views.value instanceof TreeList))
    throw call.refuse("RANKCAST_TAR_RECORD", `the views of storages are a list, not ${describe(views.value)}`);
  for (const view of views.value.elements) {
    const [key, rootKey, offset, numel] = tupleOf(view, 4, call);
    const root = storages.get(tarKey(rootKey) ?? "");
    if (root === undefined)
      throw call.refuse("RANKCAST_TAR_RECORD", `a view is of storage ${describe(rootKey ?? null)}, which is not in the file`);
    // To torch the view is a storage of its own on the same bytes, so its tensors alias only each other.
    storages.set(newKey(key, storages, call), windowOf(root, offset, numel, call).toStorage());
  }
}

/** Reads the table of tensors in `[begin, end)`. @throws {FormatError} RANKCAST_TAR_RECORD, RANKCAST_TENSOR_LAYOUT, truncated, pickle, limit. */
export function* readTarTensors(begin: number, end: number, tables: TarTables, call: TableCall): Reading<void> {
  let [count, at] = yield* readCount(begin, end, call);
  for (; count > 0; count -= 1) {
    const [[key, storageKey, type], after] = yield* readTuple(at, end, 3, call);
    const name = newKey(key, tables.tensors, call);
    const storage = tables.storages.get(tarKey(storageKey) ?? "");
    if (storage === undefined)
      throw call.refuse("RANKCAST_TAR_RECORD", `tensor ${name} is of storage ${describe(storageKey ?? null)}, which is not in the file`);
    const dtype = tensorClassNamed(type);
    if (dtype === null) throw call.refuse("RANKCAST_TENSOR_TYPE", `tensor ${name} has the class ${describe(type ?? null)}`);
    if (dtype !== storage.elementType)
      throw call.refuse("RANKCAST_STORAGE_CONFLICT", `tensor ${name} is ${dtype}, its storage ${storage.elementType}`);
    const rank = yield* readRank(after, end, call);
    const numbers = yield* readIntegers(after + RANK_BYTES, end, 2 * rank + 1, call);
    const size = new TreeList("tuple", numbers.slice(0, rank));
    const stride = new TreeList("tuple", numbers.slice(rank, 2 * rank));
    tables.tensors.set(name, makeTensor({ storage, dtype, offset: numbers[2 * rank], size, stride }, call));
    at = after + RANK_BYTES + INT64_BYTES * numbers.length;
  }
}

function* readRank(offset: number, end: number, call: TableCall): Reading<number> {
  const view = yield* readRaw(offset, end, RANK_BYTES, call);
  const rank = view.getInt32(0, true);
  if (rank < 0) throw call.refuse("RANKCAST_TAR_RECORD", `a tensor has ${rank} dimensions`);
  if (rank > call.limits.tensorRank)
    throw call.refuse("RANKCAST_LIMIT", `rank ${rank} is above the limit tensorRank = ${call.limits.tensorRank}`);
  return rank;
}

function* readIntegers(offset: number, end: number, count: number, call: TableCall): Reading<TreeValue[]> {
  const view = yield* readRaw(offset, end, count * INT64_BYTES, call);
  return Array.from({ length: count }, (_, index) => narrow(view.getBigInt64(index * INT64_BYTES, true)));
}

function* readRaw(offset: number, end: number, nbytes: number, call: TableCall): Reading<DataView> {
  call.position = offset;
  if (offset + nbytes > end)
    throw call.refuse("RANKCAST_TRUNCATED", `${nbytes} bytes of numbers are needed here, ${end - offset} are left`);
  const bytes = yield { offset, nbytes };
  return new DataView(bytes.buffer, bytes.byteOffset, nbytes);
}

function* readPickled(begin: number, end: number, call: TableCall): Reading<{ value: TreeValue; endOffset: number }> {
  call.position = begin;
  const result = yield* decodePickle(begin, end, { limits: call.limits, where: call.site, heap: call.heap });
  for (const { code, message } of result.warnings) call.warn(code, message);
  return result;
}

function* readCount(begin: number, end: number, call: TableCall): Reading<[count: number, at: number]> {
  const { value, endOffset } = yield* readPickled(begin, end, call);
  const count = countOf(value);
  if (count === null) throw call.refuse("RANKCAST_TAR_RECORD", `the table has ${describe(value)} rows`);
  return [count, endOffset];
}

function* readTuple(begin: number, end: number, length: number, call: TableCall): Reading<[parts: readonly TreeValue[], at: number]> {
  const { value, endOffset } = yield* readPickled(begin, end, call);
  return [tupleOf(value, length, call), endOffset];
}

function tupleOf(value: TreeValue, length: number, call: TableCall): readonly TreeValue[] {
  if (value instanceof TreeList && value.type === "tuple" && value.elements.length === length) return value.elements;
  throw call.refuse("RANKCAST_TAR_RECORD", `a row is a tuple of ${length}, not ${describe(value)}`);
}

function newKey(value: TreeValue | undefined, table: ReadonlyMap<string, unknown>, call: TableCall): string {
  const key = tarKey(value);
  if (key === null || table.has(key))
    throw call.refuse("RANKCAST_TAR_RECORD", `${describe(value ?? null)} is no key, or one that is taken`);
  return key;
}
