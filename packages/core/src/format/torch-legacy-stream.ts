/**
 * The stream `torch.save` wrote from 0.1.10 to 1.5, and still writes on request and inside plain pickles: five pickles, then the storages.
 *
 *     magic number | protocol 1001 | sys_info | object | list of storage keys | count, bytes | count, bytes | ...
 *
 * Payload and counts are little-endian whatever `sys_info` says about the writer. Fact source: torch `serialization.py`, `_legacy_load`.
 */
import type { FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { type StorageExtent, TreeDict, TreeList, type TreeValue, type Warning } from "../manifest/checkpoint-tree.ts";
import { type Reading, readFromBytes } from "../pickle/byte-reading.ts";
import { describe, textOf } from "../pickle/call-arguments.ts";
import { type PickleSite, pickleError } from "../pickle/pickle-site.ts";
import { decodePickle, type NestedStream, type PickleOptions, type PickleResult } from "../pickle/read-pickle.ts";
import { storageItemBytes } from "../pickle/torch-names.ts";
import type { SkippedBytes } from "../pickle/unsettled.ts";
import { COUNT_BYTES, checkCounts, type StorageCount } from "./torch-legacy-counts.ts";
import { LegacyStorages } from "./torch-legacy-storages.ts";

/** The number every such stream begins with. */
export const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
/** Arrays inside the object from this size on stay where they are. */
export const SKIPPED_BYTES_MIN = 64 * 1024;

/** Where a stream is and how deep. */
export interface StreamContext {
  readonly limits: Limits;
  /** For messages. */
  readonly file: string;
  readonly heap: HeapBudget;
  /** How many streams it is inside of. */
  readonly depth: number;
  /** The bytes themselves when they are in memory only; storages then point into them. */
  readonly memory?: Uint8Array;
}

/** A decoded stream. */
export interface LegacyStream {
  readonly root: TreeValue;
  /** First byte after the last storage. */
  readonly endOffset: number;
  /** Bytes of the five pickles. */
  readonly pickleBytes: number;
  /** Not yet checked. */
  readonly counts: readonly StorageCount[];
  readonly warnings: readonly Warning[];
}

/** Decodes the stream in `[begin, end)`; payloads are not read. @throws {FormatError} unknown-format, unsupported, pickle, tensor, truncated, limit. */
export function* decodeLegacyStream(begin: number, end: number, context: StreamContext): Reading<LegacyStream> {
  const storages = new LegacyStorages();
  const site = (record: string): PickleSite => ({
    file: context.file,
    record: context.depth === 0 ? record : `nested ${record}`,
    baseOffset: 0,
  });
  const read = (at: number, record: string, more: Partial<PickleOptions> = {}): Reading<PickleResult> =>
    decodePickle(at, end, { limits: context.limits, where: site(record), heap: context.heap, ...more });

  const { heap, memory } = context;
  // Of the five pickles only the object stays. In memory nothing else runs meanwhile that could be charged.
  const giveBack = (usedBytes: number): void => {
    if (memory !== undefined) heap.release(heap.usedBytes - usedBytes);
  };
  const usedBefore = heap.usedBytes;
  const magic = yield* read(begin, "magic number");
  if (magic.value !== LEGACY_MAGIC) {
    const code: ErrorCode = context.depth === 0 ? "RANKCAST_UNKNOWN_FORMAT" : "RANKCAST_PICKLE_CALL";
    throw pickleError(code, "not the magic number of torch's old stream", site("magic number"), begin);
  }
  const protocol = yield* read(magic.endOffset, "protocol version");
  if (protocol.value !== PROTOCOL_VERSION) {
    const text = `protocol version ${describe(protocol.value)}, expected ${PROTOCOL_VERSION}`;
    throw pickleError("RANKCAST_LEGACY_PROTOCOL", text, site("protocol version"), magic.endOffset);
  }
  const system = yield* read(protocol.endOffset, "sys_info");
  if (!(system.value instanceof TreeDict))
    throw pickleError("RANKCAST_PICKLE_TARGET", "sys_info is no dict", site("sys_info"), protocol.endOffset);
  giveBack(usedBefore);
  const object = yield* read(system.endOffset, "object", {
    persistentLoad: (id, call) => storages.load(id, call),
    skipBytesMin: context.memory === undefined ? SKIPPED_BYTES_MIN : Number.POSITIVE_INFINITY,
    readNested: nestedStreams(context),
  });
  const usedByObject = heap.usedBytes;
  const keys = yield* read(object.endOffset, "storage keys");
  const order = readKeys(keys.value, storages, (text) => pickleError("RANKCAST_LEGACY_KEYS", text, site("storage keys"), object.endOffset));
  giveBack(usedByObject);
  const placed = placeStorages(order, storages, keys.endOffset, end, context);
  const warnings = [magic, protocol, system, object, keys].flatMap((each) => each.warnings);
  return { root: object.value, pickleBytes: keys.endOffset - begin, ...placed, warnings };
}

/** The keys in the order of their bytes: each storage of the object, once. */
function readKeys(value: TreeValue, { byKey }: LegacyStorages, refuse: (text: string) => FormatError): readonly string[] {
  if (!(value instanceof TreeList) || value.type !== "list") throw refuse(`the storage keys are a list, not ${describe(value)}`);
  const seen = new Set<string>();
  for (const element of value.elements) {
    const key = textOf(element);
    if (key === null || !byKey.has(key))
      throw refuse(`the list names storage ${describe(element)}, which belongs to nothing in the object`);
    if (seen.has(key)) throw refuse(`the list names storage ${key} twice`);
    seen.add(key);
  }
  if (seen.size < byKey.size) {
    const missing = [...byKey.keys()].find((key) => !seen.has(key)) ?? "";
    throw refuse(`the list names ${seen.size} of ${byKey.size} storages; ${missing} is not among them`);
  }
  return [...seen];
}

function placeStorages(
  order: readonly string[],
  { byKey }: LegacyStorages,
  begin: number,
  end: number,
  context: StreamContext,
): { endOffset: number; counts: StorageCount[] } {
  const counts: StorageCount[] = [];
  let at = begin;
  for (const key of order) {
    const storage = byKey.get(key);
    if (storage === undefined) continue;
    const { nbytes, elementType } = storage;
    if (at + COUNT_BYTES + nbytes > end) {
      const text = `storage ${key} needs ${COUNT_BYTES + nbytes} bytes here, ${end - at} are left`;
      throw pickleError("RANKCAST_TRUNCATED", text, { file: context.file, record: `storage ${key}`, baseOffset: 0 }, at);
    }
    counts.push({ key, offset: at, expected: nbytes / storageItemBytes(elementType) });
    const offset = at + COUNT_BYTES;
    if (nbytes > 0) storage.place([{ at: 0, nbytes, extent: extentOf(offset, nbytes, key, context) }]);
    at = offset + nbytes;
  }
  return { endOffset: at, counts };
}

function extentOf(offset: number, nbytes: number, key: string, { memory }: StreamContext): StorageExtent {
  if (memory !== undefined) return { type: "inline", bytes: memory.subarray(offset, offset + nbytes) };
  return { type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32: null, record: `storage ${key}` };
}

/**
 * Reads the streams inside `torch.storage._load_from_bytes`: plain pickles of tensors hold one per storage. Depth is bounded by
 * `nestedStreams`, so this recursion is too.
 */
export function nestedStreams(context: Omit<StreamContext, "memory">): (bytes: Uint8Array | SkippedBytes) => Reading<NestedStream> {
  return function* readNested(bytes) {
    const depth = context.depth + 1;
    const { limits, file, heap } = context;
    const site = { file, record: "torch.storage._load_from_bytes", baseOffset: 0 };
    const inMemory = bytes instanceof Uint8Array;
    if (depth > limits.nestedStreams) {
      const text = `streams are nested ${depth} deep, above the limit nestedStreams = ${limits.nestedStreams}`;
      throw pickleError("RANKCAST_LIMIT", text, site, inMemory ? 0 : bytes.offset, undefined, {
        limit: "nestedStreams",
        allowed: limits.nestedStreams,
        found: depth,
      });
    }
    if (inMemory) return readFromBytes(readWhole(0, bytes.length, { limits, file, heap, depth, memory: bytes }, site), bytes);
    return yield* readWhole(bytes.offset, bytes.offset + bytes.nbytes, { limits, file, heap, depth }, site);
  };
}

function* readWhole(begin: number, end: number, context: StreamContext, site: PickleSite): Reading<NestedStream> {
  const stream = yield* decodeLegacyStream(begin, end, context);
  yield* checkCounts(stream.counts, site);
  return { value: stream.root, pickleBytes: stream.pickleBytes, warnings: stream.warnings };
}
