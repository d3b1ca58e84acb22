/**
 * Opens a zip archive over random-access reads. Everything about the archive is proved before the first payload byte is used, and whatever
 * two zip readers could read differently is refused.
 */
import { crc32 } from "../checksum/crc32.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import { letGo } from "../source/let-go.ts";
import type { Container, ContainerEntry } from "./container.ts";
import { inflateExactly } from "./inflate.ts";
import { type DirectoryRow, directoryHeapBytes, readDirectory } from "./zip-directory.ts";
import { readZipEnd, TAIL_BYTES, type ZipEnd } from "./zip-end.ts";
import { zipError } from "./zip-error.ts";
import { locateRecords } from "./zip-local-headers.ts";
import { windowOver, ZipWindow } from "./zip-window.ts";

/** Bounds and cancellation for opening a container. */
export interface OpenContainerOptions {
  readonly limits: Limits;
  /** Charged for the directory. */
  readonly heap?: HeapBudget;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the archive in `source`: at most three reads for its directories, then windows over the local headers.
 *
 * Guarantees for every entry: a safe unique name, method stored or deflate, a payload range inside the file that no other record touches,
 * sizes within the limits, local header and data descriptor in agreement with the directory.
 * @throws {FormatError} RANKCAST_TRUNCATED, RANKCAST_ZIP_*, RANKCAST_UNSAFE_PATH, RANKCAST_LIMIT.
 * @throws {SourceError} as `ByteSource.readInto`.
 */
export async function openZip(source: ByteSource, { limits, heap, signal }: OpenContainerOptions): Promise<Container> {
  const tailBegin = Math.max(0, source.sizeBytes - TAIL_BYTES);
  const tail = new ZipWindow(tailBegin, await readBytes(source, tailBegin, source.sizeBytes - tailBegin, signal));
  const end = await readZipEnd(source, tail, signal);
  enforceLimit(limits, "zipDirectoryBytes", end.directoryBytes, { file: source.name });
  enforceLimit(limits, "zipEntries", end.entryCount, { file: source.name });
  const heapBytes = directoryHeapBytes(end);
  heap?.charge(heapBytes, source.name);
  // 24 bytes before the directory hold the last record's data descriptor.
  const knownBegin = Math.max(0, end.directoryOffset - 24);
  const known = await windowOver(source, tail, knownBegin, end.directoryOffset + end.directoryBytes, signal);
  const rows = readDirectory(source, known, end, limits);
  const entries = byUniqueName(source, rows);
  enforceInflatedTotal(source, rows, limits);
  await locateRecords({ source, directoryOffset: end.directoryOffset, known, limits, signal }, rows);
  if (known !== tail) letGo(known.bytes);
  heap?.release(end.directoryBytes);
  return {
    type: "zip",
    source,
    entries,
    warnings: trailingWarnings(end),
    heapBytes: heapBytes - end.directoryBytes,
    read: async (entry, readSignal) => {
      enforceLimit(limits, "pickleBytes", Math.max(entry.nbytes, entry.storedBytes), { file: source.name, record: entry.name });
      return readRecord(source, entry, readSignal);
    },
  };
}

function byUniqueName(source: ByteSource, rows: readonly DirectoryRow[]): Map<string, ContainerEntry> {
  const entries = new Map<string, ContainerEntry>();
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[index] as DirectoryRow;
    entries.set(row.name, row);
    if (entries.size === index)
      throw zipError("RANKCAST_ZIP_NAME", { source, record: row.name, offset: row.headerOffset }, "two records have this name");
  }
  return entries;
}

function enforceInflatedTotal(source: ByteSource, rows: readonly DirectoryRow[], limits: Limits): void {
  let total = 0;
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[index] as DirectoryRow;
    if (row.encoding === "deflate") total += row.nbytes;
  }
  if (total > limits.inflateTotalBytesFloor) {
    enforceLimit(limits, "inflateTotalRatio", total / source.sizeBytes, {
      file: source.name,
      what: "inflated size of all records against the file's",
    });
  }
}

function trailingWarnings({ trailingBytes }: ZipEnd): Warning[] {
  if (trailingBytes === 0) return [];
  return [{ code: "trailing-bytes", message: `${trailingBytes} bytes behind the end of the zip archive were ignored` }];
}

async function readRecord(source: ByteSource, entry: ContainerEntry, signal?: AbortSignal): Promise<Uint8Array> {
  const place = { source, record: entry.name, offset: entry.offset };
  const stored = await readBytes(source, entry.offset, entry.storedBytes, signal);
  const inflated = entry.encoding === "stored" ? { bytes: stored } : await inflateExactly(stored, entry.nbytes);
  if ("fault" in inflated) throw zipError("RANKCAST_INFLATE", place, inflated.fault, {}, inflated.cause);
  const found = entry.crc32 === null ? null : crc32(inflated.bytes);
  if (found !== entry.crc32) {
    throw zipError("RANKCAST_CHECKSUM", place, `CRC-32 is ${hex(found)}, the directory says ${hex(entry.crc32)}`, {
      expected: hex(entry.crc32),
      found: hex(found),
    });
  }
  return inflated.bytes;
}

function hex(checksum: number | null): string {
  return (checksum ?? 0).toString(16).padStart(8, "0");
}
