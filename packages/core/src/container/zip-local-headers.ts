/**
 * Where payloads really are. A record's local header says how far its payload is from it (torch pads to 64 bytes with an extra field that
 * the directory lacks), and must otherwise agree with the directory: readers that trust one or the other would see different records.
 *
 * Headers are read in windows: neighbours closer than a few KiB share a read, several windows are in flight, so 100 000 small records
 * cost a few dozen reads.
 */
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { ContainerEntry } from "./container.ts";
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
/** Reading this much more costs less than another request, on disks and on networks alike. */
const GAP_BYTES_MAX = 16 * 1024;
const WINDOW_BYTES_MAX = 2 ** 20;
const WINDOWS_IN_FLIGHT = 8;

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

interface Plan {
  readonly row: DirectoryRow;
  /** From the descriptor that may stand before the header to the end of the header's name and first extra field. */
  readonly begin: number;
  readonly end: number;
}

/**
 * The entries with proved payload ranges: headers agree with the directory, descriptors agree, ranges are disjoint and before the directory.
 * In directory order.
 * @throws {FormatError} RANKCAST_ZIP_LOCAL_HEADER, RANKCAST_ZIP_OVERLAP, RANKCAST_ZIP_DIRECTORY (offset outside), RANKCAST_ZIP_UNSUPPORTED.
 */
export async function locateRecords(extent: ArchiveExtent, rows: readonly DirectoryRow[]): Promise<ContainerEntry[]> {
  const plans = planHeaders(extent, rows);
  const offsets = new Map<DirectoryRow, number>();
  let before: Located | null = null;
  for await (const { window, members } of readWindows(extent, plans)) {
    for (const { row } of members) {
      if (before) await requireEnd(extent, window, before, row.headerOffset);
      before = locate(extent, window, row);
      offsets.set(row, before.payload);
    }
  }
  if (before) await requireEnd(extent, extent.known, before, extent.directoryOffset);
  return rows.map((row) => ({
    name: row.name,
    offset: offsets.get(row) ?? 0,
    storedBytes: row.storedBytes,
    nbytes: row.nbytes,
    encoding: row.method === 8 ? "deflate" : "stored",
    // torch writes 0 when told to skip checksums; over an empty payload 0 is the right value.
    crc32: row.crc32 === 0 && row.nbytes > 0 ? null : row.crc32,
  }));
}

interface Located {
  readonly row: DirectoryRow;
  readonly payload: number;
  readonly end: number;
  /** Whether a data descriptor follows the payload. */
  readonly streamed: boolean;
}

function planHeaders({ source, directoryOffset }: ArchiveExtent, rows: readonly DirectoryRow[]): Plan[] {
  return [...rows]
    .sort((a, b) => a.headerOffset - b.headerOffset)
    .map((row) => {
      const nameEnd = row.headerOffset + LOCAL_BYTES + row.nameBytes.length;
      if (nameEnd > directoryOffset) {
        throw zipError(
          "RANKCAST_ZIP_DIRECTORY",
          { source, record: row.name, offset: row.headerOffset },
          "the record's header is not before the directory",
        );
      }
      // 32 bytes more hold the first extra field, where zip64 sizes stand.
      return { row, begin: Math.max(0, row.headerOffset - DESCRIPTOR_BYTES_MAX), end: Math.min(nameEnd + 32, directoryOffset) };
    });
}

interface WindowOfHeaders {
  readonly window: ZipWindow;
  readonly members: readonly Plan[];
}

/** Windows in file order, a few read ahead. */
async function* readWindows(extent: ArchiveExtent, plans: readonly Plan[]): AsyncGenerator<WindowOfHeaders> {
  const groups = groupPlans(plans);
  const reads: Promise<WindowOfHeaders>[] = [];
  // A slot is free again when the window read into it has been worked through: windows are handed out in order.
  const slots = Array.from({ length: Math.min(WINDOWS_IN_FLIGHT, groups.length) }, () => new Uint8Array(0));
  const start = (members: readonly Plan[], slot: number): void => {
    const begin = members[0]?.begin ?? 0;
    const end = members.reduce((furthest, plan) => Math.max(furthest, plan.end), begin);
    if ((slots[slot]?.length ?? 0) < end - begin)
      slots[slot] = new Uint8Array(groups.length > WINDOWS_IN_FLIGHT ? Math.max(end - begin, WINDOW_BYTES_MAX) : end - begin);
    const read = readWindow(extent, slots[slot] ?? new Uint8Array(end - begin), begin, end).then((window) => ({ window, members }));
    // Awaited in order below; until then a failure must not count as unhandled.
    read.catch(() => undefined);
    reads.push(read);
  };
  for (let next = 0; next < groups.length || reads.length > 0; ) {
    while (next < groups.length && reads.length < WINDOWS_IN_FLIGHT) {
      start(groups[next] ?? [], next % WINDOWS_IN_FLIGHT);
      next += 1;
    }
    const read = reads.shift();
    if (read) yield await read;
  }
}

async function readWindow({ source, known, signal }: ArchiveExtent, memory: Uint8Array, begin: number, end: number): Promise<ZipWindow> {
  if (known.covers(begin, end)) return known;
  const bytes = memory.subarray(0, end - begin);
  await source.readInto(bytes, begin, signal);
  return new ZipWindow(begin, bytes);
}

function groupPlans(plans: readonly Plan[]): Plan[][] {
  const groups: Plan[][] = [];
  let begin = 0;
  let end = 0;
  for (const plan of plans) {
    const group = groups.at(-1);
    if (group && plan.begin - end <= GAP_BYTES_MAX && plan.end - begin <= WINDOW_BYTES_MAX) {
      group.push(plan);
      end = Math.max(end, plan.end);
    } else {
      groups.push([plan]);
      ({ begin, end } = plan);
    }
  }
  return groups;
}

function locate({ source, directoryOffset }: ArchiveExtent, window: ZipWindow, row: DirectoryRow): Located {
  const at = row.headerOffset;
  const place = { source, record: row.name, offset: at };
  if (window.u32(at) !== LOCAL_SIGNATURE) throw zipError("RANKCAST_ZIP_LOCAL_HEADER", place, "no local header here");
  const flags = window.u16(at + 6);
  if ((flags & UNSUPPORTED_FLAGS) !== 0)
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", place, `flags 0x${flags.toString(16)} in the local header`);
  const nameBytes = window.u16(at + 26);
  if (nameBytes !== row.nameBytes.length || Buffer.compare(window.slice(at + LOCAL_BYTES, nameBytes), row.nameBytes) !== 0) {
    throw zipError("RANKCAST_ZIP_LOCAL_HEADER", place, "the local header has another name than the directory");
  }
  if (window.u16(at + 8) !== row.method) {
    throw zipError("RANKCAST_ZIP_LOCAL_HEADER", place, `compression method ${window.u16(at + 8)}, the directory says ${row.method}`);
  }
  const payload = at + LOCAL_BYTES + nameBytes + window.u16(at + 28);
  const end = payload + row.storedBytes;
  if (end > directoryOffset) {
    throw zipError("RANKCAST_ZIP_DIRECTORY", place, `the record ends at byte ${end}, the directory begins at ${directoryOffset}`);
  }
  const streamed = (flags & STREAMED_FLAG) !== 0;
  requireSizes(source, window, row, streamed);
  return { row, payload, end, streamed };
}

/** Sizes and checksum in the local header: the directory's, or the zeros of a writer that did not know them yet. */
function requireSizes(source: ByteSource, window: ZipWindow, row: DirectoryRow, streamed: boolean): void {
  const at = row.headerOffset;
  const sizes = localSizes(window, row);
  const fits = (found: bigint, expected: number): boolean => found === BigInt(expected) || (streamed && found === 0n);
  if (!fits(BigInt(window.u32(at + 14)), row.crc32) || !fits(sizes.stored, row.storedBytes) || !fits(sizes.full, row.nbytes)) {
    throw zipError(
      "RANKCAST_ZIP_LOCAL_HEADER",
      { source, record: row.name, offset: at },
      "checksum or sizes in the local header differ from the directory",
    );
  }
}

function localSizes(window: ZipWindow, row: DirectoryRow): { stored: bigint; full: bigint } {
  const at = row.headerOffset;
  const narrow = { stored: BigInt(window.u32(at + 18)), full: BigInt(window.u32(at + 22)) };
  if (narrow.stored !== 0xffffffffn && narrow.full !== 0xffffffffn) return narrow;
  const extra = at + LOCAL_BYTES + row.nameBytes.length;
  const present = window.u16(at + 28) >= 20 && extra + 20 <= window.end && window.u16(extra) === 1 && window.u16(extra + 2) >= 16;
  // APPNOTE 4.5.3: in a local header both sizes are there, the full one first.
  return present ? { full: window.u64(extra + 4), stored: window.u64(extra + 12) } : narrow;
}

/** Proves that a record, its data descriptor included, ends before `limit` (the next header, or the directory). */
async function requireEnd(extent: ArchiveExtent, window: ZipWindow, record: Located, limit: number): Promise<void> {
  const place = { source: extent.source, record: record.row.name, offset: record.row.headerOffset };
  if (record.end > limit) {
    throw zipError("RANKCAST_ZIP_OVERLAP", place, `the record ends at byte ${record.end}, what follows begins at ${limit}`);
  }
  if (!record.streamed) return;
  const stop = Math.min(limit, record.end + DESCRIPTOR_BYTES_MAX);
  const near = await windowOver(extent.source, window, record.end, stop, extent.signal);
  if (!hasDescriptor(near, record, stop)) {
    throw zipError(
      "RANKCAST_ZIP_LOCAL_HEADER",
      { ...place, offset: record.end },
      "the data descriptor behind the record is missing or contradicts the directory",
    );
  }
}

/** The four spellings of a descriptor: signature or none, 4-byte or 8-byte sizes (torch: 8 for records or offsets beyond 4 GiB). */
function hasDescriptor(window: ZipWindow, { row, end }: Located, stop: number): boolean {
  for (const signed of [true, false]) {
    const crc = end + (signed ? 4 : 0);
    if (crc + 12 > stop || (signed && window.u32(end) !== DESCRIPTOR_SIGNATURE) || window.u32(crc) !== row.crc32) continue;
    if (window.u32(crc + 4) === row.storedBytes && window.u32(crc + 8) === row.nbytes) return true;
    if (crc + 20 > stop) continue;
    if (window.u64(crc + 4) === BigInt(row.storedBytes) && window.u64(crc + 12) === BigInt(row.nbytes)) return true;
  }
  return false;
}
