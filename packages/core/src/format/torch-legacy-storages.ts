/**
 * Storages of torch's old stream. The pickle names them, a list after it gives the order of their bytes, and each run of bytes begins with
 * a count of elements, which must agree with the pickle. Fact source: torch `serialization.py`, `_legacy_load`.
 */

import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { countOf, describe, textOf } from "../pickle/call-arguments.ts";
import { PLACE_BYTES, STORAGE_BYTES } from "../pickle/heap-costs.ts";
import { GlobalRef, type PickleCall } from "../pickle/known-global.ts";
import { storageItemBytes } from "../pickle/torch-names.ts";
import { StorageView, TypedStorage } from "../pickle/torch-storage.ts";
import { readStorageId, type StorageId, taggedId } from "./torch-persistent-id.ts";

/** Answers the persistent ids of one stream. */
export class LegacyStorages {
  readonly byKey: Map<string, TypedStorage> = new Map();

  /**
   * The storage, or view of one, that `id` names; for `('module', class, file, text)` the class. The source text is left alone: it is code
   * with the paths of somebody's machine.
   * @throws {FormatError} RANKCAST_PICKLE_PERSISTENT_ID, RANKCAST_STORAGE_*.
   */
  load(id: TreeValue, call: PickleCall): TreeValue {
    const module = taggedId(id, "module");
    if (module !== null) {
      const [, named] = module;
      if (named instanceof GlobalRef) return named;
      throw call.refuse("RANKCAST_PICKLE_PERSISTENT_ID", "a module is named by a class");
    }
    const wanted = readStorageId(id, 6, call);
    const whole = this.byKey.get(wanted.key) ?? this.make(wanted, call);
    if (whole.elementType !== wanted.elementType) {
      throw call.refuse("RANKCAST_STORAGE_CONFLICT", `storage ${wanted.key} is ${whole.elementType} and ${wanted.elementType}`);
    }
    return wanted.view === null ? whole : viewOf(whole, wanted.view, call).value;
  }

  /** The first mention of a key makes the storage; later ones may give another size and are not asked. */
  private make({ key, nbytes, elementType, location: savedDevice }: StorageId, call: PickleCall): TypedStorage {
    call.charge(STORAGE_BYTES + PLACE_BYTES);
    const made = new TypedStorage({ nbytes, pieces: [], elementType, savedDevice, key });
    this.byKey.set(key, made);
    return made;
  }
}

/** `(key, offset, numel)` in elements. */
function viewOf(whole: TypedStorage, view: TreeValue, call: PickleCall): StorageView {
  const parts = view instanceof TreeList && view.type === "tuple" ? view.elements : [];
  if (parts.length !== 3 || textOf(parts[0]) === null) {
    throw call.refuse("RANKCAST_PICKLE_PERSISTENT_ID", `a view of a storage is None or a tuple of 3, not ${describe(view)}`);
  }
  return windowOf(whole, parts[1], parts[2], call);
}

/** A window of `whole`, offset and size in its elements. @throws {FormatError} RANKCAST_STORAGE_SIZE when it does not lie inside. */
export function windowOf(whole: TypedStorage, offset: TreeValue | undefined, numel: TreeValue | undefined, call: PickleCall): StorageView {
  const itemBytes = storageItemBytes(whole.elementType);
  const begin = (countOf(offset) ?? Number.NaN) * itemBytes;
  const nbytes = (countOf(numel) ?? Number.NaN) * itemBytes;
  if (begin + nbytes <= whole.nbytes) return new StorageView(whole, begin, nbytes, whole.elementType);
  throw call.refuse(
    "RANKCAST_STORAGE_SIZE",
    `a view of ${describe(numel ?? null)} elements at ${describe(offset ?? null)} does not lie in storage ${whole.key} of ${whole.nbytes / itemBytes}`,
    { key: whole.key },
  );
}
