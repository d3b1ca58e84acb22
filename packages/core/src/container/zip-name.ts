/** Which entry names are acceptable. Names are untrusted and compared as they are, upper and lower case kept apart. */
import type { ByteSource } from "../source/byte-source.ts";
import { zipError } from "./zip-error.ts";
import type { ZipWindow } from "./zip-window.ts";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What nearly every name is: folders and a file of plain letters, no segment that begins with a dot. Such a name has nothing to refuse. */
const PLAIN = /^[\w-][\w .-]*(?:\/[\w-][\w.-]*)*$/;

/**
 * The name of the entry at `entryAt`: `length` bytes at `at`.
 * @throws {FormatError} RANKCAST_ZIP_NAME when it is empty, not UTF-8, or holds NUL or a backslash; RANKCAST_UNSAFE_PATH when it is absolute,
 * starts with a drive or climbs (`..`).
 */
export function readEntryName(source: ByteSource, window: ZipWindow, entryAt: number, at: number, length: number): string {
  const plain = window.latin1(at, length);
  return PLAIN.test(plain) ? plain : decodeEntryName(source, window.slice(at, length), entryAt);
}

function decodeEntryName(source: ByteSource, bytes: Uint8Array, offset: number): string {
  const name = decodeText(source, bytes, offset);
  const place = { source, record: name, offset };
  if (name === "") throw zipError("RANKCAST_ZIP_NAME", place, "an entry without a name");
  if (name.includes("\0")) throw zipError("RANKCAST_ZIP_NAME", place, "the name holds a NUL");
  if (name.includes("\\")) throw zipError("RANKCAST_ZIP_NAME", place, "the name holds a backslash");
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) throw zipError("RANKCAST_UNSAFE_PATH", place, "the name is an absolute path");
  if (name.includes("..") || name.includes("./") || name.includes("//")) requirePlainSegments(source, name, offset);
  return name;
}

function decodeText(source: ByteSource, bytes: Uint8Array, offset: number): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw zipError("RANKCAST_ZIP_NAME", { source, offset }, "an entry name is not valid UTF-8", {}, cause);
  }
}

function requirePlainSegments(source: ByteSource, name: string, offset: number): void {
  const place = { source, record: name, offset };
  for (const segment of name.split("/")) {
    if (segment === ".." || segment === ".") throw zipError("RANKCAST_UNSAFE_PATH", place, `the name has a segment ${segment}`);
  }
  if (name.includes("//")) throw zipError("RANKCAST_ZIP_NAME", place, "the name has an empty segment");
}
