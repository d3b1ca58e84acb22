/**
 * Records of an archive read from its beginning, before its directory is here: only local headers and the data descriptors behind payloads tell of
 * them. Nothing read this way is trusted for good; `openZip` proves the archive when it is complete. Layout: PKWARE APPNOTE 4.3.7 and 4.3.9.
 */
import { crc32 } from "../checksum/crc32.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import { ZipWindow } from "./zip-window.ts";

const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR_SIGNATURE = 0x08074b50;
const STREAMED_FLAG = 0x0008;
const UTF8_FLAG = 0x0800;
/** From here on sizes and offsets take 8 bytes; torch compares with this number and not with 2^32. */
export const NARROW_MAX = 2 ** 32 - 1;
const SMALL_BYTES_MAX = 32;
const NARROW_DESCRIPTOR_BYTES = 16;
const WIDE_DESCRIPTOR_BYTES = 24;

/** A stored record as its local header tells. */
export interface LocalRecord {
  readonly name: string;
  /** First byte of the header, and of the payload. */
  readonly header: number;
  readonly payload: number;
  /** Sizes and checksum stand behind the payload. */
  readonly streamed: boolean;
}

/** A payload whose size and checksum the descriptor behind it confirms. */
export interface ProvedRecord {
  /** Null when the writer left it out. */
  readonly crc32: number | null;
  /** First byte behind the record. */
  readonly end: number;
}

/** The stored record whose header is at `at`; null when there is none like torch writes it. @throws {SourceError} as the source. */
export async function readLocalRecord(source: ByteSource, at: number, signal?: AbortSignal): Promise<LocalRecord | null> {
  if (at + LOCAL_BYTES > source.sizeBytes) return null;
  const fixed = new ZipWindow(at, await readBytes(source, at, LOCAL_BYTES, signal));
  const flags = fixed.u16(at + 6);
  const stored = fixed.u32(at) === LOCAL_SIGNATURE && (flags & ~(STREAMED_FLAG | UTF8_FLAG)) === 0 && fixed.u16(at + 8) === 0;
  const nameLength = fixed.u16(at + 26);
  const payload = at + LOCAL_BYTES + nameLength + fixed.u16(at + 28);
  if (!stored || payload > source.sizeBytes) return null;
  const name = Buffer.from(await readBytes(source, at + LOCAL_BYTES, nameLength, signal)).toString("utf8");
  return { name, header: at, payload, streamed: (flags & STREAMED_FLAG) !== 0 };
}

/** Checks that a record has `nbytes` of payload by what stands behind it; null when it does not. @throws {SourceError} as the source. */
export async function proveLocalRecord(
  source: ByteSource,
  { header, payload, streamed }: LocalRecord,
  nbytes: number,
  signal?: AbortSignal,
): Promise<ProvedRecord | null> {
  const at = payload + nbytes;
  if (!streamed) return nbytes === 0 ? { crc32: 0, end: at } : null;
  const wide = nbytes >= NARROW_MAX || header >= NARROW_MAX;
  const end = at + (wide ? WIDE_DESCRIPTOR_BYTES : NARROW_DESCRIPTOR_BYTES);
  if (end > source.sizeBytes) return null;
  const window = new ZipWindow(at, await readBytes(source, at, end - at, signal));
  const sizes = wide ? [window.u64(at + 8), window.u64(at + 16)] : [BigInt(window.u32(at + 8)), BigInt(window.u32(at + 12))];
  if (window.u32(at) !== DESCRIPTOR_SIGNATURE || sizes.some((size) => size !== BigInt(nbytes))) return null;
  const checksum = window.u32(at + 4);
  return { crc32: checksum === 0 && nbytes > 0 ? null : checksum, end };
}

/** Text of a record of up to 32 bytes whose size is not known yet; null when none fits. @throws {SourceError} as the source. */
export async function readSmallRecord(
  source: ByteSource,
  { payload }: LocalRecord,
  signal?: AbortSignal,
): Promise<{ readonly text: string; readonly end: number } | null> {
  const length = Math.min(SMALL_BYTES_MAX + NARROW_DESCRIPTOR_BYTES, source.sizeBytes - payload);
  const window = new ZipWindow(0, await readBytes(source, payload, length, signal));
  for (let nbytes = 1; nbytes + NARROW_DESCRIPTOR_BYTES <= length; nbytes += 1) {
    const ends = window.u32(nbytes) === DESCRIPTOR_SIGNATURE && window.u32(nbytes + 8) === nbytes && window.u32(nbytes + 12) === nbytes;
    const checksum = window.u32(nbytes + 4);
    if (!ends || (checksum !== 0 && checksum !== crc32(window.slice(0, nbytes)))) continue;
    return { text: window.latin1(0, nbytes), end: payload + nbytes + NARROW_DESCRIPTOR_BYTES };
  }
  return null;
}
