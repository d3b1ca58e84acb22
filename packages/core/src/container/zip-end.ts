/**
 * The end of a zip: where its central directory is. Facts: PKWARE APPNOTE 4.3.14–4.3.16. torch always writes the zip64 records, and the
 * classic record then holds the same numbers (`inline_container.cc`, `MZ_ZIP_FLAG_WRITE_ZIP64`).
 */
import { quote } from "../errors/quote.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { zipError } from "./zip-error.ts";
import { findFarEnd, lastWholeRecord } from "./zip-truncation.ts";
import { windowOver, type ZipWindow } from "./zip-window.ts";

const END_SIGNATURE = 0x06054b50;
const END_BYTES = 22;
const LOCATOR_SIGNATURE = 0x07064b50;
const LOCATOR_BYTES = 20;
const END64_SIGNATURE = 0x06064b50;
const END64_BYTES = 56;
/** Behind the end record may stand its comment, or as much of foreign bytes: miniz looks as far, so torch loads such files. */
const BEHIND_BYTES_MAX = 65_535;

/** Bytes at the end of the file in which all end records of any acceptable archive lie. */
export const TAIL_BYTES = BEHIND_BYTES_MAX + END_BYTES + LOCATOR_BYTES + END64_BYTES;

/** What the end records say; proved consistent with each other and with the file's size. */
export interface ZipEnd {
  readonly entryCount: number;
  readonly directoryOffset: number;
  readonly directoryBytes: number;
  /** Bytes behind the archive that belong to nothing. */
  readonly trailingBytes: number;
}

interface EndFields {
  readonly position: number;
  readonly disk: number;
  readonly directoryDisk: number;
  readonly entriesOnDisk: bigint;
  readonly entryCount: bigint;
  readonly directoryBytes: bigint;
  readonly directoryOffset: bigint;
}

/**
 * Finds and cross-checks the end records in `tail`, the last `TAIL_BYTES` of the file. Only the last signature counts: archives whose
 * comment holds another end record read differently from tool to tool and are refused.
 * @throws {FormatError} RANKCAST_TRUNCATED without an end record, RANKCAST_ZIP_END when the records contradict the file,
 * RANKCAST_ZIP_UNSUPPORTED for archives on several disks.
 */
export async function readZipEnd(source: ByteSource, tail: ZipWindow, signal?: AbortSignal): Promise<ZipEnd> {
  const position = lastSignature(tail);
  if (position === null) return refuseWithoutEnd(source, signal);
  const classic = classicFields(tail, position);
  const commentBytes = tail.u16(position + 20);
  const trailingBytes = source.sizeBytes - position - END_BYTES - commentBytes;
  const at = { source, offset: position };
  if (trailingBytes < 0) {
    throw zipError("RANKCAST_ZIP_END", at, `the end record announces a comment of ${commentBytes} bytes, the file ends before`);
  }
  const wide = await zip64Fields(source, tail, position, signal);
  if (wide) requireAgreement(source, classic, wide);
  const fields = wide ?? classic;
  if (!wide && saturated(classic)) throw zipError("RANKCAST_ZIP_END", at, "the end record refers to a zip64 record that is not there");
  requireOneDisk(source, fields);
  return { ...directoryExtent(source, fields), trailingBytes };
}

function lastSignature(tail: ZipWindow): number | null {
  const floor = Math.max(tail.begin, tail.end - END_BYTES - BEHIND_BYTES_MAX);
  for (let at = tail.end - END_BYTES; at >= floor; at -= 1) {
    if (tail.bytes[at - tail.begin] === 0x50 && tail.u32(at) === END_SIGNATURE) return at;
  }
  return null;
}

async function refuseWithoutEnd(source: ByteSource, signal?: AbortSignal): Promise<never> {
  const far = await findFarEnd(source, signal);
  if (far !== null) {
    const behind = source.sizeBytes - far - END_BYTES;
    throw zipError(
      "RANKCAST_ZIP_END",
      { source, offset: far },
      `${behind} bytes stand behind the end record, ${BEHIND_BYTES_MAX} at most may`,
    );
  }
  const last = await lastWholeRecord(source, signal);
  const hint = last === null ? "" : `; the last whole record is ${quote(last)}`;
  const extra = last === null ? {} : { record: last };
  throw zipError("RANKCAST_TRUNCATED", { source, offset: source.sizeBytes }, `the zip ends without a central directory${hint}`, extra);
}

function classicFields(tail: ZipWindow, position: number): EndFields {
  return {
    position,
    disk: tail.u16(position + 4),
    directoryDisk: tail.u16(position + 6),
    entriesOnDisk: BigInt(tail.u16(position + 8)),
    entryCount: BigInt(tail.u16(position + 10)),
    directoryBytes: BigInt(tail.u32(position + 12)),
    directoryOffset: BigInt(tail.u32(position + 16)),
  };
}

function saturated(fields: EndFields): boolean {
  return fields.entryCount === 0xffffn || fields.directoryBytes === 0xffffffffn || fields.directoryOffset === 0xffffffffn;
}

/** The zip64 end record when its locator stands right before the classic one, else null. */
async function zip64Fields(source: ByteSource, tail: ZipWindow, endPosition: number, signal?: AbortSignal): Promise<EndFields | null> {
  const locator = endPosition - LOCATOR_BYTES;
  if (locator < tail.begin || tail.u32(locator) !== LOCATOR_SIGNATURE) return null;
  const at = { source, offset: locator };
  if (tail.u32(locator + 4) !== 0 || tail.u32(locator + 16) > 1) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", at, "the archive is spread over several disks");
  }
  const position = tail.u64(locator + 8);
  if (position + BigInt(END64_BYTES) > BigInt(locator)) {
    throw zipError("RANKCAST_ZIP_END", at, `the zip64 end record is announced at byte ${position}, behind its locator`);
  }
  const begin = Number(position);
  const window = await windowOver(source, tail, begin, begin + END64_BYTES, signal);
  if (window.u32(begin) !== END64_SIGNATURE) throw zipError("RANKCAST_ZIP_END", { source, offset: begin }, "no zip64 end record here");
  if (position + 12n + window.u64(begin + 4) !== BigInt(locator)) {
    throw zipError("RANKCAST_ZIP_END", { source, offset: begin }, "the zip64 end record does not reach its locator");
  }
  return {
    position: begin,
    disk: window.u32(begin + 16),
    directoryDisk: window.u32(begin + 20),
    entriesOnDisk: window.u64(begin + 24),
    entryCount: window.u64(begin + 32),
    directoryBytes: window.u64(begin + 40),
    directoryOffset: window.u64(begin + 48),
  };
}

/** A reader that skips zip64 records must see the same archive: every classic field is saturated or equal. */
function requireAgreement(source: ByteSource, classic: EndFields, wide: EndFields): void {
  const pairs = [
    ["disk number", BigInt(classic.disk), BigInt(wide.disk), 0xffffn],
    ["directory's disk number", BigInt(classic.directoryDisk), BigInt(wide.directoryDisk), 0xffffn],
    ["entries on this disk", classic.entriesOnDisk, wide.entriesOnDisk, 0xffffn],
    ["entries", classic.entryCount, wide.entryCount, 0xffffn],
    ["directory size", classic.directoryBytes, wide.directoryBytes, 0xffffffffn],
    ["directory offset", classic.directoryOffset, wide.directoryOffset, 0xffffffffn],
  ] as const;
  for (const [what, narrow, full, mark] of pairs) {
    if (narrow !== full && narrow !== mark) {
      throw zipError("RANKCAST_ZIP_END", { source, offset: classic.position }, `${what}: ${narrow} here, ${full} in the zip64 end record`);
    }
  }
}

function requireOneDisk(source: ByteSource, fields: EndFields): void {
  const at = { source, offset: fields.position };
  if (fields.disk !== 0 || fields.directoryDisk !== 0) {
    throw zipError("RANKCAST_ZIP_UNSUPPORTED", at, "the archive is spread over several disks");
  }
  if (fields.entriesOnDisk !== fields.entryCount) {
    throw zipError("RANKCAST_ZIP_END", at, `${fields.entriesOnDisk} entries on the only disk, ${fields.entryCount} in all`);
  }
}

/** The directory must end where its end record begins: anything between would be read by some tools and skipped by others. */
function directoryExtent(source: ByteSource, fields: EndFields): Omit<ZipEnd, "trailingBytes"> {
  const end = fields.directoryOffset + fields.directoryBytes;
  if (end !== BigInt(fields.position)) {
    throw zipError(
      "RANKCAST_ZIP_END",
      { source, offset: fields.position },
      `the central directory ends at byte ${end} by its size and offset, but its end record is at byte ${fields.position}`,
      { expected: String(fields.position), found: String(end) },
    );
  }
  if (fields.entryCount > fields.directoryBytes) {
    throw zipError("RANKCAST_ZIP_END", { source, offset: fields.position }, `${fields.entryCount} entries do not fit the directory`);
  }
  return {
    entryCount: Number(fields.entryCount),
    directoryBytes: Number(fields.directoryBytes),
    directoryOffset: Number(fields.directoryOffset),
  };
}
