/**
 * The central directory: one row per record. Facts: PKWARE APPNOTE 4.3.12 and 4.5.3. torch keeps sizes and checksums here only (local
 * headers hold zeros), so everything later compares against these rows.
 */
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { ZipEnd } from "./zip-end.ts";
import { zipError } from "./zip-error.ts";
import { decodeEntryName } from "./zip-name.ts";
import type { ZipWindow } from "./zip-window.ts";

const ENTRY_SIGNATURE = 0x02014b50;
const ENTRY_BYTES = 46;
/** Encrypted, patched, strongly encrypted, masked headers. */
const UNSUPPORTED_FLAGS = 0x0001 | 0x0020 | 0x0040 | 0x2000;
const SATURATED = 0xffffffff;
/** Extra field ids. */
const ZIP64 = 0x0001;
const UNICODE_PATH = 0x7075;

/** One row of the directory; its numbers are whole and safe, its ranges are not yet proved. */
export interface DirectoryRow {
  readonly name: string;
  /** The name as stored, for comparing with the local header. A view of the directory. */
  readonly nameBytes: Uint8Array;
  readonly method: 0 | 8;
  readonly crc32: number;
  readonly storedBytes: number;
  readonly nbytes: number;
  readonly headerOffset: number;
}

/**
 * All rows in directory order.
 * @throws {FormatError} RANKCAST_LIMIT above `zipEntries`; RANKCAST_ZIP_DIRECTORY, RANKCAST_ZIP_NAME, RANKCAST_UNSAFE_PATH for a bad row;
 * RANKCAST_ZIP_UNSUPPORTED for encryption and unknown compression; RANKCAST_ZIP_END when count and size do not fit the rows.
 */
export function readDirectory(source: ByteSource, window: ZipWindow, end: ZipEnd, limits: Limits): DirectoryRow[] {
  enforceLimit(limits, "zipEntries", end.entryCount, source.name);
  const stop = end.directoryOffset + end.directoryBytes;
  const rows: DirectoryRow[] = [];
  let at = end.directoryOffset;
  while (rows.length < end.entryCount) {
    if (at + ENTRY_BYTES > stop || window.u32(at) !== ENTRY_SIGNATURE) {
      throw zipError(
        "RANKCAST_ZIP_END",
        { source, offset: at },
        `the directory has ${rows.length} entries, its end record says ${end.entryCount}`,
      );
    }
    const next = at + ENTRY_BYTES + window.u16(at + 28) + window.u16(at + 30) + window.u16(at + 32);
    if (next > stop) throw zipError("RANKCAST_ZIP_DIRECTORY", { source, offset: at }, "the entry runs past the directory");
    rows.push(readRow(source, window, at, limits));
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

function readRow(source: ByteSource, window: ZipWindow, at: number, limits: Limits): DirectoryRow {
  const nameBytes = window.slice(at + ENTRY_BYTES, window.u16(at + 28));
  enforceLimit(limits, "zipNameBytes", nameBytes.length, `${source.name}: entry name at byte ${at}`);
  const name = decodeEntryName(source, nameBytes, at);
  const place = { source, record: name, offset: at };
  const flags = window.u16(at + 8);
  if ((flags & UNSUPPORTED_FLAGS) !== 0) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `flags 0x${flags.toString(16)} mean encryption or patched data`, { found: flags });
  }
  const method = window.u16(at + 10);
  if (method !== 0 && method !== 8) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `compression method ${method}; stored (0) and deflate (8) are read`, {
      found: method,
    });
  }
  if (window.u16(at + 34) !== 0 && window.u16(at + 34) !== 0xffff) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, "the record is on another disk");
  }
  const sizes = readSizes(source, window, at, name);
  const row = { name, nameBytes, method, crc32: window.u32(at + 16), ...sizes } as const;
  requirePlausibleSizes(source, row, at, limits);
  return row;
}

/** Sizes and offset, from the zip64 field where the narrow ones are saturated. Its values come in a fixed order, only those needed. */
function readSizes(source: ByteSource, window: ZipWindow, at: number, name: string) {
  const narrow = { nbytes: window.u32(at + 24), storedBytes: window.u32(at + 20), headerOffset: window.u32(at + 42) };
  const field = findExtra(source, window, at, name);
  let cursor = field?.begin ?? 0;
  const widen = (value: number, what: string): number => {
    if (value !== SATURATED) return value;
    const place = { source, record: name, offset: at };
    if (!field || cursor + 8 > field.end) throw zipError("RANKCAST_ZIP_DIRECTORY", place, `${what} is in a zip64 field that is not there`);
    const wide = window.u64(cursor);
    cursor += 8;
    if (wide > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw zipError("RANKCAST_ZIP_DIRECTORY", place, `${what} is ${wide}, the file has ${source.sizeBytes} bytes`, {
        found: String(wide),
      });
    }
    return Number(wide);
  };
  const nbytes = widen(narrow.nbytes, "the size");
  const storedBytes = widen(narrow.storedBytes, "the compressed size");
  const headerOffset = widen(narrow.headerOffset, "the header offset");
  return { nbytes, storedBytes, headerOffset };
}

/** The zip64 extra field of the entry at `at`. Walks all fields, so that a length that lies is noticed even where nothing needs it. */
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
  const place = { source, record: row.name, offset: at };
  if (row.method === 0 && row.storedBytes !== row.nbytes) {
    throw zipError("RANKCAST_ZIP_DIRECTORY", place, `stored without compression, but ${row.storedBytes} bytes become ${row.nbytes}`, {
      expected: row.nbytes,
      found: row.storedBytes,
    });
  }
  if (row.method === 8 && row.nbytes > 0) {
    const ratio = row.storedBytes === 0 ? Number.POSITIVE_INFINITY : row.nbytes / row.storedBytes;
    enforceLimit(limits, "inflateRatio", ratio, `${source.name}: record ${quote(row.name)}`);
  }
}
