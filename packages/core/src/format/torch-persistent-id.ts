/**
 * How torch's pickles name a storage: `('storage', class, key, location, numel)` in zip archives; old streams add `view_metadata`, which
 * is None or `(key, offset, numel)`. Fact source: torch `serialization.py`, `persistent_id`.
 */
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { countOf, describe, textOf } from "../pickle/call-arguments.ts";
import type { PickleCall } from "../pickle/known-global.ts";
import { storageClassNamed, storageItemBytes } from "../pickle/torch-names.ts";
import type { DType } from "../tensor/dtype.ts";

/** A checked persistent id of a storage. */
export interface StorageId {
  readonly elementType: DType | "untyped";
  readonly key: string;
  /** Device tag; information only. */
  readonly location: string;
  readonly nbytes: number;
  /** `view_metadata` of old streams. */
  readonly view: TreeValue;
}

/** torch writes decimal counters and addresses. Anything else could be a path. */
const STORAGE_KEY = /^[0-9]{1,20}$/;
/** Longer device tags are cut. */
export const LOCATION_LENGTH_MAX = 64;

/** Elements of a persistent id whose first one is the text `kind`; null when it is not such a tuple. */
export function taggedId(id: TreeValue, kind: string): readonly TreeValue[] | null {
  return id instanceof TreeList && id.type === "tuple" && textOf(id.elements[0]) === kind ? id.elements : null;
}

/**
 * The storage that a persistent id of `parts` elements names.
 * @throws {FormatError} RANKCAST_PICKLE_PERSISTENT_ID, RANKCAST_STORAGE_CLASS, RANKCAST_STORAGE_KEY, RANKCAST_STORAGE_SIZE.
 */
export function readStorageId(id: TreeValue, parts: number, call: PickleCall): StorageId {
  const elements = taggedId(id, "storage");
  if (elements?.length !== parts) {
    throw call.refuse(
      "RANKCAST_PICKLE_PERSISTENT_ID",
      `a storage is named by a tuple of ${parts} that begins with "storage", not by ${describe(id)}`,
    );
  }
  // By index, not by pattern: patterns over arrays iterate, and this runs once per tensor.
  const type = elements[1];
  const elementType = storageClassNamed(type);
  if (elementType === null) {
    throw call.refuse("RANKCAST_STORAGE_CLASS", `a storage has the class ${describe(type ?? null)}, which is no storage class of torch`);
  }
  return {
    elementType,
    key: readKey(elements[2], call),
    location: (textOf(elements[3]) ?? "").slice(0, LOCATION_LENGTH_MAX),
    nbytes: readBytes(elements[4], elementType, call),
    view: elements[5] ?? null,
  };
}

function readKey(value: TreeValue | undefined, call: PickleCall): string {
  const key = textOf(value);
  if (key !== null && STORAGE_KEY.test(key)) return key;
  throw call.refuse("RANKCAST_STORAGE_KEY", `a storage key is up to 20 digits of text, not ${describe(value ?? null)}`);
}

function readBytes(numel: TreeValue | undefined, elementType: DType | "untyped", call: PickleCall): number {
  const nbytes = (countOf(numel) ?? Number.NaN) * storageItemBytes(elementType);
  if (Number.isSafeInteger(nbytes)) return nbytes;
  throw call.refuse("RANKCAST_STORAGE_SIZE", `a storage has ${describe(numel ?? null)} elements`, { found: describe(numel ?? null) });
}
