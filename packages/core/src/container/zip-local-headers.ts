/**
 * Where payloads really are. A record's local header says how far its payload is from it (torch pads to 64 bytes with an extra field that
 * the directory lacks), and must otherwise agree with the directory: readers that trust one or the other would see different records.
 *
 * Headers are read in windows: neighbours closer than a few KiB share a read, several windows are in flight, so 100 000 small records
 * cost a few dozen reads.
 */
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { letGo } from "../source/let-go.ts";
import type { DirectoryRow } from "./zip-directory.ts";
import { zipError } from "./zip-error.ts";
import { windowOver, ZipWindow } from "./zip-window.ts";

const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR_SIGNATURE = 0x08074b50;
/** A data descriptor with signature and 8-byte sizes. */
const DESCRIPTOR_BYTES_MAX = 24;
const STREAMED_FLAG = 0x0008;
const UNSUPPORTED_FLAGS = 0x0001 | 0x0020 | 0x0040 | 0x2000;
const SATURATED = 0xffffffff;
/** Reading this much more costs less than another request, on disks and on networks alike. */
const GAP_BYTES_MAX = 16 * 1024;
const WINDOW_BYTES_MAX = 2 ** 20;
/** Enough to hide a network's round trips. */
const WINDOWS_IN_FLIGHT = 8;
/** Of a local file: one is read while the one before is looked at, and both stay in the processor's cache. */
const LOCAL_WINDOWS_IN_FLIGHT = 2;

/** What header reading needs of the archive. */
export interface ArchiveExtent {
  readonly source: ByteSource;
  /** The central directory's offset: every record ends before it. */
  readonly directoryOffset: number;
  /** Bytes that are in memory already. */
  readonly known: ZipWindow;
  readonly limits: Limits;
  readonly signal: AbortSignal | undefined;
}

/** Rows in file order that share a read: `[first, last]` of the ordered rows, bytes `[begin, end)` of the file. */
interface HeaderGroup {
  readonly first: number;
  last: number;
  readonly begin: number;
  end: number;
}

/**
 * Says where the payloads of `rows` begin, and proves their ranges: headers agree with the directory, descriptors agree, ranges are disjoint and
 * before the directory.
 * @throws {FormatError} RANKCAST_ZIP_LOCAL_HEADER, RANKCAST_ZIP_OVERLAP, RANKCAST_ZIP_DIRECTORY (offset outside), RANKCAST_ZIP_UNSUPPORTED.
 */
export async function locateRecords(extent: ArchiveExtent, rows: readonly DirectoryRow[]): Promise<void> {
  const ordered = inFileOrder(rows);
  let before: DirectoryRow | null = null;
  // Whether a data descriptor follows its payload.
  let streamed = false;
  for await (const { window, group } of readWindows(extent, groupHeaders(extent, ordered))) {
    for (let index = group.first; index <= group.last; index += 1) {
      const row = ordered[index] as DirectoryRow;
      const limit = row.headerOffset;
      if (before !== null && !endsBefore(window, before, streamed, limit)) await requireEnd(extent, window, before, streamed, limit);
      streamed = locate(extent, window, row);
      before = row;
    }
    if (window !== extent.known) letGo(window.bytes);
  }
  if (before !== null && !endsBefore(extent.known, before, streamed, extent.directoryOffset)) {
    await requireEnd(extent, extent.known, before, streamed, extent.directoryOffset);
  }
}

/** The rows by header offset; the same array when they are so already, as in nearly every archive. */
function inFileOrder(rows: readonly DirectoryRow[]): readonly DirectoryRow[] {
  for (let index = 1; index < rows.length; index += 1) {
    if ((rows[index]?.headerOffset ?? 0) < (rows[index - 1]?.headerOffset ?? 0)) {
      return [...rows].sort((a, b) => a.headerOffset - b.headerOffset);
    }
  }
  return rows;
}

/** From the descriptor that may stand before a header to the end of the header's name and first extra field, neighbours together. */
function groupHeaders({ source, directoryOffset }: ArchiveExtent, rows: readonly DirectoryRow[]): HeaderGroup[] {
  const groups: HeaderGroup[] = [];
  let group: HeaderGroup | null = null;
  for (let index = 0; index < rows.length; index += 1) {
    const { headerOffset, nameLength, name } = rows[index] as DirectoryRow;
    const nameEnd = headerOffset + LOCAL_BYTES + nameLength;
    if (nameEnd > directoryOffset) {
      const place = { source, record: name, offset: headerOffset };
      throw zipError("RANKCAST_ZIP_DIRECTORY", place, "the record's header is not before the directory");
    }
    const begin = Math.max(0, headerOffset - DESCRIPTOR_BYTES_MAX);
    // 32 bytes more hold the first extra field, where zip64 sizes stand.
    const end = Math.min(nameEnd + 32, directoryOffset);
    if (group !== null && begin - group.end <= GAP_BYTES_MAX && end - group.begin <= WINDOW_BYTES_MAX) {
      group.last = index;
      group.end = Math.max(group.end, end);
    } else {
      group = { first: index, last: index, begin, end };
      groups.push(group);
    }
  }
  return groups;
}

interface WindowOfHeaders {
  readonly window: ZipWindow;
  readonly group: HeaderGroup;
}

/** Windows in file order, a few read ahead. */
async function* readWindows(extent: ArchiveExtent, groups: readonly HeaderGroup[]): AsyncGenerator<WindowOfHeaders> {
  const reads: Promise<WindowOfHeaders>[] = [];
  // A slot is free again when the window read into it has been worked through: windows are handed out in order.
  const inFlight = extent.source.file === undefined ? WINDOWS_IN_FLIGHT : LOCAL_WINDOWS_IN_FLIGHT;
  const slots = Array.from({ length: Math.min(inFlight, groups.length) }, () => new Uint8Array(0));
  const start = (group: HeaderGroup, slot: number): void => {
    const length = group.end - group.begin;
    if ((slots[slot]?.length ?? 0) < length) {
      slots[slot] = new Uint8Array(groups.length > inFlight ? Math.max(length, WINDOW_BYTES_MAX) : length);
    }
    const read = readWindow(extent, slots[slot] ?? new Uint8Array(length), group).then((window) => ({ window, group }));
    // Awaited in order below; until then a failure must not count as unhandled.
    read.catch(() => undefined);
    reads.push(read);
  };
  for (let next = 0; next < groups.length || reads.length > 0; ) {
    for (let group = groups[next]; group !== undefined && reads.length < inFlight; group = groups[next]) {
      start(group, next % inFlight);
      next += 1;
    }
    const read = reads.shift();
    if (read) yield await read;
  }
}

async function readWindow({ source, known, signal }: ArchiveExtent, memory: Uint8Array, { begin, end }: HeaderGroup): Promise<ZipWindow> {
  if (known.covers(begin, end)) return known;
  const bytes = memory.subarray(0, end - begin);
  await source.readInto(bytes, begin, signal);
  return new ZipWindow(begin, bytes);
}

/** Notes where the row's payload begins; whether a data descriptor follows it. */
function locate(extent: ArchiveExtent, window: ZipWindow, row: DirectoryRow): boolean {
  const at = row.headerOffset;
  const { view } = window;
  const begin = at - window.begin;
  if (view.getUint32(begin, true) !== LOCAL_SIGNATURE) throw headerError(extent, row, "no local header here");
  const flags = view.getUint16(begin + 6, true);
  if ((flags & UNSUPPORTED_FLAGS) !== 0) {
    const place = { source: extent.source, record: row.name, offset: at };
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `flags 0x${flags.toString(16)} in the local header`);
  }
  const { nameLength } = row;
  if (view.getUint16(begin + 26, true) !== nameLength || !window.equals(at + LOCAL_BYTES, extent.known, row.nameAt, nameLength)) {
    throw headerError(extent, row, "the local header has another name than the directory");
  }
  if (view.getUint16(begin + 8, true) !== row.method) {
    throw headerError(extent, row, `compression method ${window.u16(at + 8)}, the directory says ${row.method}`);
  }
  const payload = at + LOCAL_BYTES + nameLength + view.getUint16(begin + 28, true);
  const end = payload + row.storedBytes;
  if (end > extent.directoryOffset) {
    const place = { source: extent.source, record: row.name, offset: at };
    throw zipError("RANKCAST_ZIP_DIRECTORY", place, `the record ends at byte ${end}, the directory begins at ${extent.directoryOffset}`);
  }
  const streamed = (flags & STREAMED_FLAG) !== 0;
  if (!agreesOnSizes(window, row, streamed)) {
    throw headerError(extent, row, "checksum or sizes in the local header differ from the directory");
  }
  row.offset = payload;
  return streamed;
}

function headerError({ source }: ArchiveExtent, { name, headerOffset }: DirectoryRow, text: string): Error {
  return zipError("RANKCAST_ZIP_LOCAL_HEADER", { source, record: name, offset: headerOffset }, text);
}

/** Whether sizes and checksum in the local header are the directory's, or the zeros of a writer that did not know them yet. */
function agreesOnSizes(window: ZipWindow, row: DirectoryRow, streamed: boolean): boolean {
  const { view } = window;
  const begin = row.headerOffset - window.begin;
  const crc = view.getUint32(begin + 14, true);
  const stored = view.getUint32(begin + 18, true);
  const full = view.getUint32(begin + 22, true);
  if (crc !== row.writtenCrc32 && !(streamed && crc === 0)) return false;
  if (stored === SATURATED || full === SATURATED) return agreesOnWideSizes(window, row, streamed);
  return (stored === row.storedBytes || (streamed && stored === 0)) && (full === row.nbytes || (streamed && full === 0));
}

function agreesOnWideSizes(window: ZipWindow, row: DirectoryRow, streamed: boolean): boolean {
  const { stored, full } = localSizes(window, row);
  const fits = (found: bigint, expected: number): boolean => found === BigInt(expected) || (streamed && found === 0n);
  return fits(stored, row.storedBytes) && fits(full, row.nbytes);
}

function localSizes(window: ZipWindow, row: DirectoryRow): { stored: bigint; full: bigint } {
  const at = row.headerOffset;
  const narrow = { stored: BigInt(window.u32(at + 18)), full: BigInt(window.u32(at + 22)) };
  const extra = at + LOCAL_BYTES + row.nameLength;
  const present = window.u16(at + 28) >= 20 && extra + 20 <= window.end && window.u16(extra) === 1 && window.u16(extra + 2) >= 16;
  // APPNOTE 4.5.3: in a local header both sizes are there, the full one first.
  return present ? { full: window.u64(extra + 4), stored: window.u64(extra + 12) } : narrow;
}

/** Whether the record, its data descriptor included, ends before `limit`, as far as `window` shows. The quick answer for honest archives. */
function endsBefore(window: ZipWindow, row: DirectoryRow, streamed: boolean, limit: number): boolean {
  const end = row.offset + row.storedBytes;
  if (end > limit) return false;
  if (!streamed) return true;
  if (end + 16 > limit || !window.covers(end, end + 16)) return false;
  const { view } = window;
  const begin = end - window.begin;
  return (
    view.getUint32(begin, true) === DESCRIPTOR_SIGNATURE &&
    view.getUint32(begin + 4, true) === row.writtenCrc32 &&
    view.getUint32(begin + 8, true) === row.storedBytes &&
    view.getUint32(begin + 12, true) === row.nbytes
  );
}

/** Proves that a record, its data descriptor included, ends before `limit` (the next header, or the directory). */
async function requireEnd(extent: ArchiveExtent, window: ZipWindow, row: DirectoryRow, streamed: boolean, limit: number): Promise<void> {
  const place = { source: extent.source, record: row.name, offset: row.headerOffset };
  const end = row.offset + row.storedBytes;
  if (end > limit) {
    throw zipError("RANKCAST_ZIP_OVERLAP", place, `the record ends at byte ${end}, what follows begins at ${limit}`);
  }
  if (!streamed) return;
  const stop = Math.min(limit, end + DESCRIPTOR_BYTES_MAX);
  const near = await windowOver(extent.source, window, end, stop, extent.signal);
  if (!hasDescriptor(near, row, end, stop)) {
    throw zipError(
      "RANKCAST_ZIP_LOCAL_HEADER",
      { ...place, offset: end },
      "the data descriptor behind the record is missing or contradicts the directory",
    );
  }
}

/** The four spellings of a descriptor: signature or none, 4-byte or 8-byte sizes (torch: 8 for records or offsets beyond 4 GiB). */
function hasDescriptor(window: ZipWindow, row: DirectoryRow, end: number, stop: number): boolean {
  for (const signed of [true, false]) {
    const crc = end + (signed ? 4 : 0);
    if (crc + 12 > stop || (signed && window.u32(end) !== DESCRIPTOR_SIGNATURE) || window.u32(crc) !== row.writtenCrc32) continue;
    if (window.u32(crc + 4) === row.storedBytes && window.u32(crc + 8) === row.nbytes) return true;
    if (crc + 20 > stop) continue;
    if (window.u64(crc + 4) === BigInt(row.storedBytes) && window.u64(crc + 12) === BigInt(row.nbytes)) return true;
  }
  return false;
}
