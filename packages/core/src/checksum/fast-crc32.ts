/**
 * The door to @node-rs/crc32, an optional dependency with prebuilt binaries that computes CRC-32 with the processor's carry-less multiplication: four
 * times as fast as Node's zlib in the cache. Everything works without it, slower.
 */
import { createRequire } from "node:module";
import { crc32 as zlibCrc32 } from "node:zlib";

/** Continues the CRC-32 `previous` of zip, gzip and PNG (CRC-32/ISO-HDLC) with bytes. Copies none of them, shared or not. */
export type Crc32 = (bytes: Uint8Array, previous: number) => number;

/** Gives the module of this name. @throws {Error} when there is none. */
export type LoadModule = (name: string) => unknown;

/** Longer than any run that is computed at once, and cut where none is. */
const CHECK_BYTES = 4103;
const CHECK_CUT = 1021;

/** Null where it is not installed for this platform, or does not compute what zlib does. Takes a few milliseconds. */
export function openFastCrc32(load: LoadModule = createRequire(import.meta.url)): Crc32 | null {
  try {
    const { crc32 } = load("@node-rs/crc32") as { readonly crc32: Crc32 };
    return agrees(crc32) ? crc32 : null;
  } catch {
    return null;
  }
}

function agrees(crc32: Crc32): boolean {
  const bytes = Uint8Array.from({ length: CHECK_BYTES }, (_, index) => (index * index) >>> 3);
  const head = crc32(bytes.subarray(0, CHECK_CUT), 0);
  return head === zlibCrc32(bytes.subarray(0, CHECK_CUT)) && crc32(bytes.subarray(CHECK_CUT), head) === zlibCrc32(bytes);
}
