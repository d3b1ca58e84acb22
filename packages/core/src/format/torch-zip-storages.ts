/** The storages of a torch zip archive: one record `data/<key>` each, with exactly the bytes that the pickle says. */
import type { Container, ContainerEntry } from "../container/container.ts";
import { quote } from "../errors/quote.ts";
import type { CheckpointTree, TreeValue } from "../manifest/checkpoint-tree.ts";
import { LEAN_STORAGE_BYTES } from "../pickle/heap-costs.ts";
import type { PickleCall } from "../pickle/known-global.ts";
import type { PlainStorage } from "../pickle/plain-tensors.ts";
import { TypedStorage, type TypedTraits, typedTraits } from "../pickle/torch-storage.ts";
import { LOCATION_LENGTH_MAX, readStorageId, type StorageId } from "./torch-persistent-id.ts";

/** An entry of the archive with its name. */
const ENTRY_BYTES = 144;
/** What storages have in common, and its place in a table. */
const TRAITS_BYTES = 240;
/** Canonical decimal keys, which are places in a list. */
const COUNTER = /^(?:0|[1-9][0-9]{0,8})$/;
const COUNTER_DIGITS_MAX = 9;
const DIGIT_0 = 0x30;

/** What of an id a storage is made of. */
type Made = Pick<StorageId, "elementType" | "location" | "nbytes">;

/** Answers the persistent ids of one `data.pkl`. */
export class ZipStorages {
  private readonly container: Container;
  private readonly prefix: string;
  private readonly bigEndian: boolean;
  /** By key: torch counts from 0, and a table by text would be larger than the storages. */
  private readonly counted: (TypedStorage | undefined)[];
  /** Records by their key, in the same way: to make each name and look for it takes longer than to look at all names once. */
  private readonly records: (ContainerEntry | undefined)[];
  /** How many records of storages there are, whatever their keys. */
  private readonly named: number;
  private readonly others: Map<string, TypedStorage> = new Map();
  private readonly traits: Map<string, TypedTraits> = new Map();
  private last: TypedTraits | null = null;
  /** What was found last, and what such storages have in common. */
  private plain: PlainStorage | null = null;
  private plainTraits: TypedTraits | null = null;
  private count = 0;
  /** Storages with bytes, by whether their record has a checksum. */
  private covered = 0;
  private bare = 0;

  constructor(container: Container, folder: string, bigEndian: boolean) {
    this.container = container;
    this.prefix = `${folder}/data/`;
    this.bigEndian = bigEndian;
    const { size } = container.entries;
    this.counted = new Array<TypedStorage | undefined>(size).fill(undefined);
    this.records = new Array<ContainerEntry | undefined>(size).fill(undefined);
    this.named = this.listRecords();
  }

  /**
   * The storage that `id` names: the same object for the same key.
   * @throws {FormatError} RANKCAST_PICKLE_PERSISTENT_ID, RANKCAST_STORAGE_*.
   */
  load(id: TreeValue, call: PickleCall): TypedStorage {
    const wanted = readStorageId(id, 5, call);
    const entry = this.container.entries.get(this.prefix + wanted.key);
    const known = this.known(wanted.key);
    if (known !== undefined && known.elementType !== wanted.elementType) {
      throw call.refuse("RANKCAST_STORAGE_CONFLICT", `storage ${wanted.key} is ${known.elementType} and ${wanted.elementType}`);
    }
    checkSize(wanted, entry, call);
    if (known !== undefined) return known;
    const made = this.make(wanted, entry, call, wanted.key);
    const counter = this.counterOf(wanted.key);
    if (counter === null) this.others.set(wanted.key, made);
    else this.counted[counter] = made;
    return made;
  }

  /** The same without an id, and without a refusal: null when there would be one, or when the storage has no record. */
  find(key: number, wanted: PlainStorage, call: PickleCall): TypedStorage | null {
    const { elementType, nbytes } = wanted;
    if (key >= this.counted.length) return null;
    const known = this.counted[key];
    if (known !== undefined) return known.elementType === elementType && known.nbytes === nbytes && !known.meta ? known : null;
    const entry = this.records[key];
    if (entry === undefined || entry.nbytes !== nbytes) return null;
    if (wanted !== this.plain) {
      const savedDevice = wanted.location.slice(0, LOCATION_LENGTH_MAX);
      this.plainTraits = this.traitsOf({ elementType, bigEndian: this.bigEndian, savedDevice, meta: false }, call);
      this.plain = wanted;
    }
    this.countRecord(entry, call);
    // A record's name says the key.
    const made = new TypedStorage({ nbytes, pieces: entry, elementType, key: "" }, this.plainTraits as TypedTraits);
    this.counted[key] = made;
    return made;
  }

  private listRecords(): number {
    const { prefix, records } = this;
    let named = 0;
    // forEach makes no object per record; archives have up to a million.
    this.container.entries.forEach((entry, name) => {
      if (!name.startsWith(prefix)) return;
      named += 1;
      const key = counterAt(name, prefix.length);
      if (key >= 0 && key < records.length) records[key] = entry;
    });
    return named;
  }

  private known(key: string): TypedStorage | undefined {
    const counter = this.counterOf(key);
    return counter === null ? this.others.get(key) : this.counted[counter];
  }

  private counterOf(key: string): number | null {
    const counter = COUNTER.test(key) ? Number(key) : Number.POSITIVE_INFINITY;
    return counter < this.counted.length ? counter : null;
  }

  private make(
    { elementType, location: savedDevice, nbytes }: Made,
    entry: ContainerEntry | undefined,
    call: PickleCall,
    key: string,
  ): TypedStorage {
    this.countRecord(entry, call);
    const meta = entry === undefined;
    const { bigEndian } = this;
    return new TypedStorage(
      // A record's name says the key.
      { nbytes, pieces: entry ?? [], elementType, key: entry === undefined ? key : "" },
      this.traitsOf({ elementType, bigEndian, savedDevice, meta }, call),
    );
  }

  private countRecord(entry: ContainerEntry | undefined, call: PickleCall): void {
    if (entry !== undefined && entry.nbytes > 0) {
      if (entry.crc32 === null) this.bare += 1;
      else this.covered += 1;
    }
    call.charge(LEAN_STORAGE_BYTES);
    this.count += 1;
  }

  private traitsOf(wanted: Parameters<typeof typedTraits>[0], call: PickleCall): TypedTraits {
    const { last } = this;
    if (last?.elementType === wanted.elementType && last.savedDevice === wanted.savedDevice && last.meta === wanted.meta) return last;
    const text = `${wanted.elementType} ${wanted.meta} ${wanted.savedDevice}`;
    let traits = this.traits.get(text);
    if (traits === undefined) {
      call.charge(TRAITS_BYTES);
      traits = typedTraits(wanted);
      this.traits.set(text, traits);
    }
    this.last = traits;
    return traits;
  }

  /** Whether checksums cover the records that tensors use. */
  get checksums(): CheckpointTree["checksums"] {
    return this.bare === 0 ? "present" : this.covered === 0 ? "absent" : "partial";
  }

  /** Heap of the archive's entries that are kept for their places. */
  get entriesBytes(): number {
    return ENTRY_BYTES * this.count;
  }

  /** Records of storages that nothing names. */
  get unused(): number {
    return Math.max(this.named - this.count, 0);
  }
}

/** What `COUNTER` matches from `begin` to the end of `name`, as a number; -1 when it does not. */
function counterAt(name: string, begin: number): number {
  const digits = name.length - begin;
  if (digits < 1 || digits > COUNTER_DIGITS_MAX || (digits > 1 && name.charCodeAt(begin) === DIGIT_0)) return -1;
  let counter = 0;
  for (let at = begin; at < name.length; at += 1) {
    const digit = name.charCodeAt(at) - DIGIT_0;
    if (digit < 0 || digit > 9) return -1;
    counter = 10 * counter + digit;
  }
  return counter;
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
