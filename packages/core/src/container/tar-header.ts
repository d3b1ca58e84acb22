/** One 512-byte block of a tar archive. Facts: POSIX.1-1988 ustar, GNU tar manual "Basic Tar Format". */
import { FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { printable, quote } from "../errors/quote.ts";
import type { ByteSource } from "../source/byte-source.ts";

/** Bytes of a header, and the multiple on which members start. */
export const TAR_BLOCK_BYTES = 512;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const TYPE_AT = 156;
const SIZE_AT = 124;
const SIZE_BYTES = 12;

/** A regular member. */
export interface TarMember {
  readonly name: string;
  readonly nbytes: number;
}

/** Whether `block` is a tar header: its checksum is right. The only structure an old tar has. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < TAR_BLOCK_BYTES || block[0] === 0) return false;
  const stored = parseOctal(block, CHECKSUM_AT, CHECKSUM_BYTES);
  if (stored === null) return false;
  // The checksum counts itself as spaces; some old writers summed signed bytes.
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at += 1) {
    const inside = at >= CHECKSUM_AT && at < CHECKSUM_AT + CHECKSUM_BYTES;
    const byte = inside ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  return stored === unsigned || stored === signed;
}

/**
 * The regular member a valid header describes.
 * @throws {FormatError} RANKCAST_UNSAFE_PATH for links, devices, absolute and climbing names; RANKCAST_TAR_MEMBER for other kinds;
 * RANKCAST_TAR_HEADER for an unreadable size.
 */
export function readTarHeader(source: ByteSource, block: Uint8Array, offset: number): TarMember {
  const name = Buffer.from(block.subarray(0, 100)).toString("latin1").replace(/\0.*$/s, "");
  if (name.startsWith("/") || name.includes("\\") || /^[A-Za-z]:/.test(name) || name.split("/").includes("..")) {
    throw tarError("RANKCAST_UNSAFE_PATH", source, name, offset, "the member's name is absolute or leaves its folder");
  }
  const type = String.fromCharCode(block[TYPE_AT] ?? 0);
  if ("123456".includes(type))
    throw tarError("RANKCAST_UNSAFE_PATH", source, name, offset, "the member is a link, device or folder, not a file");
  if (type !== "0" && type !== "\0" && type !== "7") {
    throw tarError("RANKCAST_TAR_MEMBER", source, name, offset, `members of type ${quote(type)} are not read`);
  }
  const nbytes = parseOctal(block, SIZE_AT, SIZE_BYTES) ?? parseBinary(block);
  if (nbytes === null) throw tarError("RANKCAST_TAR_HEADER", source, name, offset, "the member's size is no number");
  return { name, nbytes };
}

/** A refusal that names file, member and offset. */
export function tarError(code: ErrorCode, source: ByteSource, record: string, offset: number, text: string): FormatError {
  return new FormatError(code, `${printable(source.name)}: member ${quote(record)} at byte ${offset}: ${text}`, {
    details: { file: source.name, record, offset },
  });
}

function parseOctal(block: Uint8Array, at: number, length: number): number | null {
  const digits = Buffer.from(block.subarray(at, at + length))
    .toString("latin1")
    .replace(/[\0 ]+$/, "")
    .trimStart();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : null;
}

/** GNU's size above 8 GiB: the first byte is 0x80, the rest a big-endian number. */
function parseBinary(block: Uint8Array): number | null {
  if (block[SIZE_AT] !== 0x80) return null;
  let value = 0n;
  for (let at = SIZE_AT + 1; at < SIZE_AT + SIZE_BYTES; at += 1) value = (value << 8n) | BigInt(block[at] ?? 0);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
}
