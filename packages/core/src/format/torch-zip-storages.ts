/** The storages of a torch zip archive: one record `data/<key>` each, with exactly the bytes that the pickle says. */
import type { Container, ContainerEntry } from "../container/container.ts";
import { quote } from "../errors/quote.ts";
import type { CheckpointTree, TreeValue } from "../manifest/checkpoint-tree.ts";
import { STORAGE_BYTES } from "../pickle/heap-costs.ts";
import type { PickleCall } from "../pickle/known-global.ts";
import { TypedStorage } from "../pickle/torch-storage.ts";
import { readStorageId, type StorageId } from "./torch-persistent-id.ts";

/** An entry of the archive with its name. */
const ENTRY_BYTES = 144;

/** Answers the persistent ids of one `data.pkl`. */
export class ZipStorages {
  private readonly container: Container;
  private readonly folder: string;
  private readonly bigEndian: boolean;
  private readonly byKey: Map<string, TypedStorage> = new Map();
  /** Storages with bytes, by whether their record has a checksum. */
  private covered = 0;
  private bare = 0;

  constructor(container: Container, folder: string, bigEndian: boolean) {
    this.container = container;
    this.folder = folder;
    this.bigEndian = bigEndian;
  }

  /**
   * The storage that `id` names: the same object for the same key.
   * @throws {FormatError} RANKCAST_PICKLE_PERSISTENT_ID, RANKCAST_STORAGE_*.
   */
  load(id: TreeValue, call: PickleCall): TypedStorage {
    const wanted = readStorageId(id, 5, call);
    const entry = this.container.entries.get(`${this.folder}/data/${wanted.key}`);
    const known = this.byKey.get(wanted.key);
    if (known !== undefined && known.elementType !== wanted.elementType) {
      throw call.refuse("RANKCAST_STORAGE_CONFLICT", `storage ${wanted.key} is ${known.elementType} and ${wanted.elementType}`);
    }
    checkSize(wanted, entry, call);
    if (known !== undefined) return known;
    call.charge(STORAGE_BYTES);
    const made = this.make(wanted, entry);
    this.byKey.set(wanted.key, made);
    return made;
  }

  private make(wanted: StorageId, entry: ContainerEntry | undefined): TypedStorage {
    const { elementType, key, location: savedDevice, nbytes } = wanted;
    if (entry !== undefined && entry.nbytes > 0) {
      if (entry.crc32 === null) this.bare += 1;
      else this.covered += 1;
    }
    return new TypedStorage({
      nbytes,
      pieces: entry ?? [],
      elementType,
      bigEndian: this.bigEndian,
      savedDevice,
      meta: entry === undefined,
      key,
    });
  }

  /** Whether checksums cover the records that tensors use. */
  get checksums(): CheckpointTree["checksums"] {
    return this.bare === 0 ? "present" : this.covered === 0 ? "absent" : "partial";
  }

  /** Heap of the archive's entries that are kept for their places. */
  get entriesBytes(): number {
    return ENTRY_BYTES * this.byKey.size;
  }

  /** Records of storages that nothing names. */
  get unused(): number {
    const prefix = `${this.folder}/data/`;
    let records = 0;
    // forEach makes no object per record; archives have up to a million.
    this.container.entries.forEach((_, name) => {
      if (name.startsWith(prefix)) records += 1;
    });
    return Math.max(records - this.byKey.size, 0);
  }
}

/** torch 1.x read past a record that is shorter than the pickle says (CVE-2026-24747 is about that), so the sizes must be equal. */
function checkSize(wanted: StorageId, entry: ContainerEntry | undefined, call: PickleCall): void {
  if (entry === undefined) {
    if (wanted.location === "meta") return;
    throw call.refuse("RANKCAST_STORAGE_KEY", `storage ${wanted.key} has no record data/${wanted.key}`, { key: wanted.key });
  }
  if (entry.nbytes !== wanted.nbytes) {
    throw call.refuse(
      "RANKCAST_STORAGE_SIZE",
      `storage ${wanted.key} has ${wanted.nbytes} bytes, record ${quote(entry.name)} has ${entry.nbytes}`,
      {
        key: wanted.key,
        expected: wanted.nbytes,
        found: entry.nbytes,
      },
    );
  }
}
