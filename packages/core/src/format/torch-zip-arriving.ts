/**
 * The beginning of a torch archive (2.7 and later) read while the rest of it is still arriving. Such archives begin with their pickle, and have their
 * storages in the order in which the pickle first names them, so the place of every record follows from the sizes of those before it:
 *
 *     data.pkl | .format_version | .storage_alignment | byteorder | data/0 | data/1 | ... | version | ... | directory
 *     └────────── read as they come ──────────────────────────────┘ └─ computed ─────┘                     └─ proves all of it at the end
 *
 * Sources: torch `caffe2/serialize/inline_container.cc` (`getPadding`), `serialization.py` (`_get_offset`), pytorch#143880. Sizes and checksums stand
 * behind the payloads and in the directory, not in the local headers. Whatever does not look like this is read when it is complete.
 */
import { crc32 } from "../checksum/crc32.ts";
import { openZip } from "../container/open-zip.ts";
import { zipError } from "../container/zip-error.ts";
import { folderOf } from "../container/zip-folder.ts";
import { type LocalRecord, NARROW_MAX, proveLocalRecord, readLocalRecord, readSmallRecord } from "../container/zip-forward.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import type { CheckpointTree, RangeExtent, TreeValue } from "../manifest/checkpoint-tree.ts";
import { readFromSource } from "../pickle/byte-reading.ts";
import { PLACE_BYTES, STORAGE_BYTES } from "../pickle/heap-costs.ts";
import type { PickleCall } from "../pickle/known-global.ts";
import { decodePickle, type PickleResult } from "../pickle/read-pickle.ts";
import { TypedStorage } from "../pickle/torch-storage.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { nestedStreams } from "./torch-legacy-stream.ts";
import { readStorageId } from "./torch-persistent-id.ts";
import { checkVersion, isBigEndian, leftOver } from "./torch-zip-records.ts";

const PICKLE_NAME = "/data.pkl";
/** Records between the pickle and the storages; torch writes three. */
const SMALL_RECORDS_MAX = 8;
const ALIGNMENT_MAX = 2 ** 16;

/**
 * The tree of an archive of which only the beginning is here; its extents have no checksums yet, and `arriving` says how they are proved. Null when
 * the file is not arriving, or is not such an archive: it is then read as any other, which waits for its end.
 * @throws {SourceError} as the source.
 */
export async function readArrivingZip(input: FormatInput): Promise<CheckpointTree | null> {
  const { arrival } = input.source;
  if (!input.early || arrival === undefined || arrival.bytesAt(0) >= input.source.sizeBytes) return null;
  const { heap } = input;
  const usedBytes = heap.usedBytes;
  try {
    const tree = await readBeginning(input);
    // What is decoded again is not there twice.
    if (tree === null) heap.usedBytes = usedBytes;
    return tree;
  } catch (error) {
    heap.usedBytes = usedBytes;
    // A damaged archive is judged by its directory, when that is here.
    if (error instanceof FormatError) return null;
    throw error;
  }
}

async function readBeginning(input: FormatInput): Promise<CheckpointTree | null> {
  const { source, signal } = input;
  const pickled = await readLocalRecord(source, 0, signal);
  const folder = pickled?.name.slice(0, -PICKLE_NAME.length) ?? "";
  if (!pickled?.streamed || pickled.name !== folder + PICKLE_NAME || folder === "" || folder.includes("/")) return null;
  const storages = new ArrivingStorages();
  const result = await readPickleOf(input, pickled, storages);
  const checksum = crc32(await readBytes(source, pickled.payload, result.endOffset - pickled.payload, signal));
  const proved = await proveLocalRecord(source, pickled, result.endOffset - pickled.payload, signal);
  if (proved === null || (proved.crc32 !== null && proved.crc32 !== checksum)) return null;
  const layout = await readLayout(source, folder, proved.end, signal);
  if (layout === null || !storages.predict(folder, layout, source.sizeBytes)) return null;
  const tree: CheckpointTree = {
    format: "torch-zip",
    root: result.value,
    sources: [source],
    // What torch writes; the directory says at the end whether it did.
    checksums: "present",
    fileMetadata: new Map(),
    warnings: result.warnings,
  };
  return {
    ...tree,
    arriving: {
      prove: (extent) => storages.prove(source, extent, signal),
      confirm: () =>
        confirm(input, tree, {
          folder,
          storages,
          offset: pickled.payload,
          nbytes: result.endOffset - pickled.payload,
          checksum: proved.crc32,
        }),
    },
  };
}

/** What was read or computed before the directory was there. */
interface Beginning {
  readonly folder: string;
  readonly storages: ArrivingStorages;
  /** Place, size and checksum of the pickle. */
  readonly offset: number;
  readonly nbytes: number;
  readonly checksum: number | null;
}

/** The tree as the directory proves it; null when the archive is read differently with its directory. */
async function confirm(input: FormatInput, tree: CheckpointTree, beginning: Beginning): Promise<CheckpointTree | null> {
  const { folder, storages, offset, nbytes, checksum } = beginning;
  const container = await openZip(input.source, input);
  if (folderOf(container) !== folder || container.entries.has(`${folder}/constants.pkl`)) return null;
  const pickled = container.entries.get(folder + PICKLE_NAME);
  if (pickled?.offset !== offset || pickled.nbytes !== nbytes || pickled.crc32 !== checksum) return null;
  await checkVersion(container, folder, input.signal);
  if ((await isBigEndian(container, folder, input.signal)) || !storages.confirm(container.entries)) return null;
  const records = [...container.entries.keys()].filter((name) => name.startsWith(`${folder}/data/`)).length;
  return {
    ...tree,
    checksums: storages.checksums,
    warnings: [...container.warnings, ...tree.warnings, ...leftOver(0, records - storages.count)],
  };
}

function readPickleOf(
  { source, head, limits, heap, signal, nesting }: FormatInput,
  record: LocalRecord,
  storages: ArrivingStorages,
): Promise<PickleResult> {
  const reading = decodePickle(record.payload, source.sizeBytes, {
    limits,
    where: { file: source.name, record: record.name, baseOffset: 0 },
    heap,
    persistentLoad: (id, call) => storages.load(id, call),
    readNested: nestedStreams({ limits, file: source.name, heap, depth: nesting }),
  });
  return readFromSource(reading, source, signal, { offset: 0, bytes: head });
}

/** Where the storages' records begin, and what their payloads are aligned to. */
interface Layout {
  readonly begin: number;
  readonly alignment: number;
}

/** Reads the small records behind the pickle. Null when they are not those of torch 2.7 and later, little-endian. */
async function readLayout(source: ByteSource, folder: string, begin: number, signal: AbortSignal | undefined): Promise<Layout | null> {
  const words = new Map<string, string>();
  let at = begin;
  for (let count = 0; count < SMALL_RECORDS_MAX; count += 1) {
    const record = await readLocalRecord(source, at, signal);
    const name = record?.name.startsWith(`${folder}/`) ? record.name.slice(folder.length + 1) : "";
    if (record === null || (name !== "byteorder" && !name.startsWith("."))) break;
    const small = await readSmallRecord(source, record, signal);
    if (small === null) return null;
    words.set(name, small.text);
    at = small.end;
  }
  const alignment = Number(words.get(".storage_alignment") ?? "64");
  const known = Number(words.get(".format_version")) >= 1 && words.get("byteorder") === "little";
  return known && Number.isInteger(alignment) && alignment >= 1 && alignment <= ALIGNMENT_MAX ? { begin: at, alignment } : null;
}

/** Where a record is expected. */
interface Predicted {
  readonly name: string;
  readonly header: number;
  readonly payload: number;
  readonly storage: TypedStorage;
}

/** Answers persistent ids before anything is known of the records, and places the storages afterwards. */
class ArrivingStorages {
  readonly #byKey = new Map<string, TypedStorage>();
  readonly #byRecord = new Map<string, Predicted>();

  load(id: TreeValue, call: PickleCall): TypedStorage {
    const { elementType, key, location: savedDevice, nbytes } = readStorageId(id, 5, call);
    const known = this.#byKey.get(key);
    if (known !== undefined && (known.elementType !== elementType || known.nbytes !== nbytes)) {
      throw call.refuse("RANKCAST_STORAGE_CONFLICT", `storage ${key} is named twice, as ${known.elementType} and ${elementType}`);
    }
    if (known !== undefined) return known;
    call.charge(STORAGE_BYTES + PLACE_BYTES);
    const made = new TypedStorage({ nbytes, pieces: [], elementType, savedDevice, key });
    this.#byKey.set(key, made);
    return made;
  }

  /** Computes where every record is. False when they do not fit into the file. */
  predict(folder: string, { begin, alignment }: Layout, sizeBytes: number): boolean {
    let at = begin;
    for (const [key, storage] of this.#byKey) {
      const name = `${folder}/data/${key}`;
      const { nbytes } = storage;
      const wide = (nbytes >= NARROW_MAX ? 16 : 0) + (at >= NARROW_MAX ? 8 : 0);
      // Local header, name, zip64 field, and the field that pads up to the payload.
      const unpadded = at + 30 + Buffer.byteLength(name) + (wide > 0 ? 4 + wide : 0) + 4;
      const payload = Math.ceil(unpadded / alignment) * alignment;
      this.#byRecord.set(name, { name, header: at, payload, storage });
      at = payload + nbytes + (nbytes === 0 ? 0 : wide > 0 ? 24 : 16);
      if (at > sizeBytes) return false;
    }
    for (const { name, payload, storage } of this.#byRecord.values()) this.#place(storage, name, payload, null);
    return true;
  }

  /** Checks the header in front of an extent's record and the descriptor behind it. @throws {FormatError} RANKCAST_ZIP_LOCAL_HEADER. */
  async prove(source: ByteSource, extent: RangeExtent, signal: AbortSignal | undefined): Promise<RangeExtent> {
    const predicted = this.#byRecord.get(extent.record ?? "");
    if (predicted === undefined) return extent;
    const { name, header, payload, storage } = predicted;
    const record = await readLocalRecord(source, header, signal);
    const isHere = record !== null && record.name === name && record.payload === payload;
    const proved = isHere ? await proveLocalRecord(source, record, storage.nbytes, signal) : null;
    if (proved === null) {
      throw zipError("RANKCAST_ZIP_LOCAL_HEADER", { source, record: name, offset: header }, "is not where torch 2.7 and later have it");
    }
    const isWhole = extent.offset === payload && extent.storedBytes === storage.nbytes;
    return isWhole ? { ...extent, crc32: proved.crc32 } : extent;
  }

  /** Takes places and checksums from the directory. False when it says something else than was computed. */
  confirm(entries: ReadonlyMap<string, { offset: number; nbytes: number; encoding: string; crc32: number | null }>): boolean {
    for (const { name, payload, storage } of this.#byRecord.values()) {
      const entry = entries.get(name);
      if (entry?.offset !== payload || entry.nbytes !== storage.nbytes || entry.encoding !== "stored") return false;
    }
    for (const { name, payload, storage } of this.#byRecord.values()) this.#place(storage, name, payload, entries.get(name)?.crc32 ?? null);
    return true;
  }

  /** Whether checksums cover the records; after `confirm`. */
  get checksums(): CheckpointTree["checksums"] {
    const extents = [...this.#byKey.values()].flatMap(({ pieces }) => pieces.map(({ extent }) => extent));
    const covered = extents.filter((extent) => extent.type === "range" && extent.crc32 !== null).length;
    return covered === extents.length ? "present" : covered === 0 ? "absent" : "partial";
  }

  get count(): number {
    return this.#byRecord.size;
  }

  #place(storage: TypedStorage, name: string, offset: number, checksum: number | null): void {
    const { nbytes } = storage;
    storage.place({ name, offset, storedBytes: nbytes, nbytes, encoding: "stored", crc32: checksum });
  }
}
