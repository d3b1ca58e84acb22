/**
 * Named numpy arrays in a zip (`numpy.savez`, `savez_compressed`). Each record is a whole `.npy` file, so the zip's checksum covers header and
 * elements together.
 *
 *     stored record:   [header | elements]   one storage over the elements, its CRC-32 computed from the record's and the header's
 *     deflated record: [header + elements]   one storage over the inflated record, the tensor starts behind the header
 */
import { promisify } from "node:util";
import { constants, inflateRaw } from "node:zlib";
import { crc32OfTail } from "../checksum/combine-crc32.ts";
import { crc32 } from "../checksum/crc32.ts";
import type { Container, ContainerEntry } from "../container/container.ts";
import { openZip } from "../container/open-zip.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import {
  type CheckpointTree,
  OpaqueValue,
  type StorageExtent,
  StorageRef,
  TensorRef,
  TreeDict,
  type Warning,
} from "../manifest/checkpoint-tree.ts";
import { readBytes } from "../source/byte-source.ts";
import { bytesOf } from "../tensor/dtype.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { type NpyArray, npyArray } from "./npy-array.ts";
import { describePlace, type NpyHeader, type NpyPlace, npyHeaderBytes, parseNpyHeader } from "./npy-header.ts";
import { leafBytes, rowBytes } from "./table-costs.ts";

const SUFFIX = ".npy";
/** Fixed part of a zip's local header; the name follows. PKWARE APPNOTE 4.3.7. */
const LOCAL_HEADER_BYTES = 30;
/** numpy pads headers to 64 bytes and most need 128; deflate shrinks them, so the first try nearly always suffices. */
const FIRST_READ_BYTES = 512;
/** 4 KiB inflate to at most about 4 MiB. */
const STEP_BYTES = 4096;
/** Magic, version and the longer kind of length. */
const LENGTH_END = 12;
const inflateStart = promisify(inflateRaw);

/** The npz format. */
export const npz: CheckpointFormat = { name: "npz", matches: ({ head }) => firstRecordName(head).endsWith(SUFFIX), read: readNpz };

async function readNpz(input: FormatInput): Promise<CheckpointTree> {
  const container = await openZip(input.source, input);
  const root = new TreeDict();
  const warnings: Warning[] = [...container.warnings];
  for (const entry of container.entries.values()) {
    input.heap.charge(rowBytes(entry.name.length, 4) + leafBytes(4, 1), input.source.name);
    const place = { file: input.source.name, record: entry.name };
    if (!entry.name.endsWith(SUFFIX)) {
      warnings.push({ code: "npz-foreign-record", message: `${quote(entry.name)} is no numpy array and was left out` });
      continue;
    }
    const leaf = await readArray(input, container, entry, place);
    if (leaf instanceof OpaqueValue)
      warnings.push({ code: "npz-opaque-array", message: `${quote(entry.name)} has elements that are no numbers and is kept opaque` });
    root.entries.set(entry.name.slice(0, -SUFFIX.length), leaf);
  }
  const present = [...container.entries.values()].every((entry) => entry.crc32 !== null || entry.nbytes === 0);
  return { format: "npz", root, sources: [input.source], checksums: present ? "present" : "partial", fileMetadata: new Map(), warnings };
}

async function readArray(
  input: FormatInput,
  container: Container,
  entry: ContainerEntry,
  place: NpyPlace,
): Promise<TensorRef | OpaqueValue> {
  const bytes = await readHeader(input, entry, place);
  const header = parseNpyHeader(bytes, place);
  const array = arrayOrNull(header, place, input);
  if (array === null) {
    // Nothing will read its elements, so damage that made the header unknown must be noticed here.
    if (entry.nbytes <= input.limits.pickleBytes) await container.read(entry, input.signal);
    return new OpaqueValue("numpy.ndarray", [header.descr]);
  }
  if (header.headerBytes + array.nbytes !== entry.nbytes)
    throw new FormatError(
      header.headerBytes + array.nbytes > entry.nbytes ? "RANKCAST_TRUNCATED" : "RANKCAST_NPY_HEADER",
      `${describePlace(place)}: shape (${array.shape}) needs ${array.nbytes} bytes, the record has ${entry.nbytes - header.headerBytes}`,
      { details: { ...place, offset: entry.offset, expected: array.nbytes, found: entry.nbytes - header.headerBytes } },
    );
  if (array.nbytes === 0) return emptyTensor(entry, bytes, array, place);
  return entry.encoding === "stored"
    ? storedTensor(entry, bytes, array)
    : inflatedTensor(input, container, entry, array, header.headerBytes);
}

/** The array, or null when its elements are no numbers: one such array must not hide the others. */
function arrayOrNull(header: NpyHeader, place: NpyPlace, { limits }: FormatInput): NpyArray | null {
  try {
    return npyArray(header, place, limits);
  } catch (error) {
    if (error instanceof FormatError && error.code === "RANKCAST_NPY_DTYPE") return null;
    throw error;
  }
}

/** Header bytes of a record. A header that inflates enormously is read in small steps, so that it is refused before it fills memory. */
async function readHeader(input: FormatInput, entry: ContainerEntry, place: NpyPlace): Promise<Uint8Array> {
  for (let storedBytes = FIRST_READ_BYTES; ; storedBytes += STEP_BYTES) {
    const start = await readStart(input, entry, storedBytes);
    const whole = storedBytes >= entry.storedBytes;
    const headerBytes = start.length < LENGTH_END && !whole ? Number.POSITIVE_INFINITY : npyHeaderBytes(start, place, input.limits);
    if (start.length >= headerBytes) return start.subarray(0, headerBytes);
    if (whole)
      throw new FormatError(
        "RANKCAST_TRUNCATED",
        `${describePlace(place)}: a header of ${headerBytes} bytes in a record of ${start.length}`,
        {
          details: { ...place, offset: entry.offset },
        },
      );
  }
}

/** The decoded start of a record, from its first `storedBytes` bytes in the file. */
async function readStart({ source, signal }: FormatInput, entry: ContainerEntry, storedBytes: number): Promise<Uint8Array> {
  const stored = await readBytes(source, entry.offset, Math.min(entry.storedBytes, storedBytes), signal);
  if (entry.encoding === "stored") return stored;
  return inflateStart(stored, { finishFlush: constants.Z_SYNC_FLUSH }).catch((cause: unknown) => {
    throw new FormatError("RANKCAST_INFLATE", `${source.name}: record ${quote(entry.name)} at byte ${entry.offset} does not inflate`, {
      details: { file: source.name, record: entry.name, offset: entry.offset },
      cause,
    });
  });
}

function storedTensor(entry: ContainerEntry, header: Uint8Array, array: NpyArray): TensorRef {
  const { nbytes } = array;
  const checksum = entry.crc32 === null ? null : crc32OfTail(entry.crc32, crc32(header), nbytes);
  const extent = {
    type: "range",
    source: 0,
    offset: entry.offset + header.length,
    storedBytes: nbytes,
    encoding: "stored",
    crc32: checksum,
    record: entry.name,
  } as const;
  return tensor(entry, array, nbytes, extent, 0);
}

/** No piece will ever be read for it, so its checksum is compared here. */
function emptyTensor(entry: ContainerEntry, header: Uint8Array, array: NpyArray, place: NpyPlace): TensorRef {
  if (entry.crc32 !== null && crc32(header) !== entry.crc32)
    throw new FormatError("RANKCAST_CHECKSUM", `${describePlace(place)}: CRC-32 is ${crc32(header)}, the directory says ${entry.crc32}`, {
      details: { ...place, offset: entry.offset, expected: entry.crc32, found: crc32(header) },
    });
  return tensor(entry, array, 0, undefined, 0);
}

async function inflatedTensor(
  { heap, signal }: FormatInput,
  container: Container,
  entry: ContainerEntry,
  array: NpyArray,
  headerBytes: number,
): Promise<TensorRef> {
  const itemBytes = bytesOf(array.dtype, 1);
  if (headerBytes % itemBytes !== 0) {
    // Only a foreign writer pads so oddly; a tensor cannot start between two elements of its storage.
    heap.charge(2 * entry.nbytes, container.source.name);
    const bytes = (await container.read(entry, signal)).slice(headerBytes);
    return tensor(entry, array, array.nbytes, { type: "inline", bytes }, 0);
  }
  const { offset, storedBytes, encoding, crc32: checksum, name: record } = entry;
  const extent = { type: "range", source: 0, offset, storedBytes, encoding, crc32: checksum, record } as const;
  return tensor(entry, array, entry.nbytes, extent, headerBytes / itemBytes);
}

function tensor(
  entry: ContainerEntry,
  array: NpyArray,
  nbytes: number,
  extent: StorageExtent | undefined,
  storageOffset: number,
): TensorRef {
  const { dtype, shape, stride, swapBytes } = array;
  const pieces = extent === undefined ? [] : [{ at: 0, nbytes, extent }];
  return new TensorRef({
    dtype,
    shape,
    stride,
    storageOffset,
    storage: new StorageRef({ nbytes, pieces, swapBytes, key: entry.name }),
    origin: "numpy",
  });
}

/** Name in the first local header, empty when the bytes start no zip. */
function firstRecordName(head: Uint8Array): string {
  if (head.length < LOCAL_HEADER_BYTES || head[0] !== 0x50 || head[1] !== 0x4b || head[2] !== 3 || head[3] !== 4) return "";
  const nameBytes = (head[26] ?? 0) + (head[27] ?? 0) * 256;
  return Buffer.from(head.subarray(LOCAL_HEADER_BYTES, LOCAL_HEADER_BYTES + nameBytes)).toString("latin1");
}
