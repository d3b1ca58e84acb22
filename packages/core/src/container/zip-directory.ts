/**
 * The central directory: one row per record. Facts: PKWARE APPNOTE 4.3.12 and 4.5.3. torch keeps sizes and checksums here only (local
 * headers hold zeros), so everything later compares against these rows.
 */
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { ContainerEntry } from "./container.ts";
import type { ZipEnd } from "./zip-end.ts";
import { zipError } from "./zip-error.ts";
import { readEntryName } from "./zip-name.ts";
import type { ZipWindow } from "./zip-window.ts";

const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
/** Encrypted, patched, strongly encrypted, masked headers. */
const UNSUPPORTED_FLAGS = 0x0001 | 0x0020 | 0x0040 | 0x2000;
const SATURATED = 0xffffffff;
/** Extra field ids. */
const ZIP64 = 0x0001;
const UNICODE_PATH = 0x7075;

/**
 * One row of the directory; its numbers are whole and safe, its ranges are not yet proved, and where its payload begins is not known. Once that is
 * found (`zip-local-headers.ts`) the row is the archive's entry: archives have up to a million, and a second object for each is time and memory.
 */
export class DirectoryRow implements ContainerEntry {
  readonly name: string;
  /** Where in the file the name stands as stored, and its length, for comparing with the local header. */
  readonly nameAt: number;
  readonly nameLength: number;
  readonly encoding: "stored" | "deflate";
  /** Of 32 bits with a sign, as which V8 keeps it in the row; without one every other is a number object of its own. */
  private readonly signedCrc32: number;
  readonly storedBytes: number;
  readonly nbytes: number;
  readonly headerOffset: number;
  offset = -1;

  constructor(name: string, nameAt: number, nameLength: number, method: 0 | 8, crc32: number, sizes: RowSizes) {
    this.name = name;
    this.nameAt = nameAt;
    this.nameLength = nameLength;
    this.encoding = method === 8 ? "deflate" : "stored";
    this.signedCrc32 = crc32 | 0;
    this.storedBytes = sizes.storedBytes;
    this.nbytes = sizes.nbytes;
    this.headerOffset = sizes.headerOffset;
  }

  /** As it is written. */
  get writtenCrc32(): number {
    return this.signedCrc32 >>> 0;
  }

  /** torch writes 0 when told to skip checksums; over an empty payload 0 is the right value. */
  get crc32(): number | null {
    return this.signedCrc32 === 0 && this.nbytes > 0 ? null : this.signedCrc32 >>> 0;
  }

  /** As zip numbers it. */
  get method(): 0 | 8 {
    return this.encoding === "deflate" ? 8 : 0;
  }
}

/** Heap of a row and of its places in tables, without its name's characters. */
const ROW_HEAP_BYTES = 200;

/** Heap of a directory: as it is stored, the names out of it, and its rows. */
export function directoryHeapBytes({ directoryBytes, entryCount }: Pick<ZipEnd, "directoryBytes" | "entryCount">): number {
  return directoryBytes + Math.max(directoryBytes - ENTRY_BYTES * entryCount, 0) + ROW_HEAP_BYTES * entryCount;
}

interface RowSizes {
  storedBytes: number;
  nbytes: number;
  headerOffset: number;
}

/**
 * All rows in directory order.
 * @throws {FormatError} RANKCAST_ZIP_DIRECTORY, RANKCAST_ZIP_NAME, RANKCAST_UNSAFE_PATH for a bad row;
 * RANKCAST_ZIP_UNSUPPORTED for encryption and unknown compression; RANKCAST_ZIP_END when count and size do not fit the rows.
 */
export function readDirectory(source: ByteSource, window: ZipWindow, end: ZipEnd, limits: Limits): DirectoryRow[] {
  const stop = end.directoryOffset + end.directoryBytes;
  // An array that grows leaves twice its size behind.
  const rows = new Array<DirectoryRow>(end.entryCount);
  let count = 0;
  let at = end.directoryOffset;
  const { view, begin } = window;
  const reading = { source, window, limits, sizes: { storedBytes: 0, nbytes: 0, headerOffset: 0 } };
  while (count < end.entryCount) {
    if (at + ENTRY_BYTES > stop || view.getUint32(at - begin, true) !== ENTRY_SIGNATURE) {
      throw zipError(
        "RANKCAST_ZIP_END",
        { source, offset: at },
        `the directory has ${count} entries, its end record says ${end.entryCount}`,
      );
    }
    const nameLength = view.getUint16(at - begin + 28, true);
    const extraLength = view.getUint16(at - begin + 30, true);
    const next = at + ENTRY_BYTES + nameLength + extraLength + view.getUint16(at - begin + 32, true);
    if (next > stop) throw zipError("RANKCAST_ZIP_DIRECTORY", { source, offset: at }, "the entry runs past the directory");
    const plain = extraLength === 0 && nameLength <= limits.zipNameBytes ? plainRow(reading, at, nameLength) : null;
    rows[count] = plain ?? readRow(source, window, at, limits);
    count += 1;
    at = next;
  }
  if (at !== stop) {
    throw zipError(
      "RANKCAST_ZIP_END",
      { source, offset: at },
      `${stop - at} bytes follow the ${end.entryCount} entries the end record counts`,
    );
  }
  return rows;
}

/** What reading a directory needs for each row; `sizes` is written anew. */
interface DirectoryReading {
  readonly source: ByteSource;
  readonly window: ZipWindow;
  readonly limits: Limits;
  readonly sizes: RowSizes;
}

/**
 * A row as nearly all are: stored, on this disk, its numbers no wider than 32 bits. It has nothing to refuse but its name; null for any other row, which
 * `readRow` judges.
 */
function plainRow({ source, window, sizes }: DirectoryReading, at: number, nameLength: number): DirectoryRow | null {
  const { view } = window;
  const begin = at - window.begin;
  const nbytes = view.getUint32(begin + 24, true);
  const headerOffset = view.getUint32(begin + 42, true);
  // Method and flags: 0 is stored.
  if ((view.getUint32(begin + 8, true) & (0xffff0000 | UNSUPPORTED_FLAGS)) !== 0 || view.getUint16(begin + 34, true) !== 0) return null;
  if (nbytes !== view.getUint32(begin + 20, true) || nbytes === SATURATED || headerOffset === SATURATED) return null;
  sizes.storedBytes = nbytes;
  sizes.nbytes = nbytes;
  sizes.headerOffset = headerOffset;
  const name = readEntryName(source, window, at, at + ENTRY_BYTES, nameLength);
  return new DirectoryRow(name, at + ENTRY_BYTES, nameLength, 0, view.getInt32(begin + 16, true), sizes);
}

function readRow(source: ByteSource, window: ZipWindow, at: number, limits: Limits): DirectoryRow {
  const nameLength = window.u16(at + 28);
  if (nameLength > limits.zipNameBytes)
    enforceLimit(limits, "zipNameBytes", nameLength, { file: source.name, offset: at, what: "entry name" });
  const name = readEntryName(source, window, at, at + ENTRY_BYTES, nameLength);
  const flags = window.u16(at + 8);
  if ((flags & UNSUPPORTED_FLAGS) !== 0) {
    const place = { source, record: name, offset: at };
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `flags 0x${flags.toString(16)} mean encryption or patched data`, { found: flags });
  }
  const method = window.u16(at + 10);
  if (method !== 0 && method !== 8) {
    const place = { source, record: name, offset: at };
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `compression method ${method}; stored (0) and deflate (8) are read`, {
      found: method,
    });
  }
  const disk = window.u16(at + 34);
  if (disk !== 0 && disk !== 0xffff) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", { source, record: name, offset: at }, "the record is on another disk");
  }
  const sizes = readSizes(source, window, at, name);
  const row = new DirectoryRow(name, at + ENTRY_BYTES, nameLength, method, window.u32(at + 16), sizes);
  requirePlausibleSizes(source, row, at, limits);
  return row;
}

/** Sizes and offset, from the zip64 field where the narrow ones are saturated. Its values come in a fixed order, only those needed. */
function readSizes(source: ByteSource, window: ZipWindow, at: number, name: string): RowSizes {
  const sizes = { storedBytes: window.u32(at + 20), nbytes: window.u32(at + 24), headerOffset: window.u32(at + 42) };
  // The extra fields are walked even where nothing needs them, so that a length that lies is noticed.
  const field = window.u16(at + 30) === 0 ? null : findExtra(source, window, at, name);
  if (sizes.nbytes !== SATURATED && sizes.storedBytes !== SATURATED && sizes.headerOffset !== SATURATED) return sizes;
  const wide = new WideSizes(source, window, field, at, name);
  sizes.nbytes = wide.next(sizes.nbytes, "the size");
  sizes.storedBytes = wide.next(sizes.storedBytes, "the compressed size");
  sizes.headerOffset = wide.next(sizes.headerOffset, "the header offset");
  return sizes;
}

/** Takes the numbers out of a zip64 field one after the other. */
class WideSizes {
  readonly #source: ByteSource;
  readonly #window: ZipWindow;
  readonly #field: { readonly begin: number; readonly end: number } | null;
  readonly #place: { readonly source: ByteSource; readonly record: string; readonly offset: number };
  #cursor: number;

  constructor(source: ByteSource, window: ZipWindow, field: { begin: number; end: number } | null, at: number, name: string) {
    this.#source = source;
    this.#window = window;
    this.#field = field;
    this.#place = { source, record: name, offset: at };
    this.#cursor = field?.begin ?? 0;
  }

  next(narrow: number, what: string): number {
    if (narrow !== SATURATED) return narrow;
    if (!this.#field || this.#cursor + 8 > this.#field.end) {
      throw zipError("RANKCAST_ZIP_DIRECTORY", this.#place, `${what} is in a zip64 field that is not there`);
    }
    const wide = this.#window.u64(this.#cursor);
    this.#cursor += 8;
    if (wide <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(wide);
    throw zipError("RANKCAST_ZIP_DIRECTORY", this.#place, `${what} is ${wide}, the file has ${this.#source.sizeBytes} bytes`, {
      found: String(wide),
    });
  }
}

/** The zip64 extra field of the entry at `at`. */
function findExtra(source: ByteSource, window: ZipWindow, at: number, name: string): { begin: number; end: number } | null {
  const begin = at + ENTRY_BYTES + window.u16(at + 28);
  const stop = begin + window.u16(at + 30);
  const place = { source, record: name, offset: at };
  let found: { begin: number; end: number } | null = null;
  // Fewer than four bytes at the end are padding that some archivers leave.
  for (let field = begin; field + 4 <= stop; ) {
    const id = window.u16(field);
    const end = field + 4 + window.u16(field + 2);
    if (end > stop) throw zipError("RANKCAST_ZIP_DIRECTORY", place, "an extra field runs past its entry");
    if (id === ZIP64 && found) throw zipError("RANKCAST_ZIP_DIRECTORY", place, "two zip64 fields");
    if (id === ZIP64) found = { begin: field + 4, end };
    if (id === UNICODE_PATH && !sameName(window, field + 9, end, at)) {
      throw zipError("RANKCAST_ZIP_NAME", place, "an extra field gives the record a second, different name");
    }
    field = end;
  }
  return found;
}

function sameName(window: ZipWindow, begin: number, end: number, at: number): boolean {
  const length = window.u16(at + 28);
  return end - begin === length && Buffer.compare(window.slice(begin, length), window.slice(at + ENTRY_BYTES, length)) === 0;
}

function requirePlausibleSizes(source: ByteSource, row: DirectoryRow, at: number, limits: Limits): void {
  if (row.method === 0 && row.storedBytes !== row.nbytes) {
    const place = { source, record: row.name, offset: at };
    throw zipError("RANKCAST_ZIP_DIRECTORY", place, `stored without compression, but ${row.storedBytes} bytes become ${row.nbytes}`, {
      expected: row.nbytes,
      found: row.storedBytes,
    });
  }
  if (row.method === 8 && row.nbytes > limits.inflateRatioBytesFloor) {
    const ratio = row.storedBytes === 0 ? Number.POSITIVE_INFINITY : row.nbytes / row.storedBytes;
    enforceLimit(limits, "inflateRatio", ratio, { file: source.name, record: row.name });
  }
}
