/**
 * CRC-32 on Node's own thread pool, by the zlib that is in every Node: a thread of JavaScript costs as much to start as the CRC-32 of 300 MiB.
 */
import type { Koffi, Library, NativeFunction } from "./koffi.ts";

/** Continues the CRC-32 `previous` with bytes that nobody may unmap before it resolves. */
export type PoolChecksum = (bytes: Uint8Array, previous: number) => Promise<number>;

/** Chromium's zlib, as most Nodes have it; or the system's. */
const FUNCTIONS = ["Cr_z_crc32_z", "crc32_z"];
const CHECK_TEXT = "123456789";
/** The check value of CRC-32/ISO-HDLC, which zlib computes. */
const CHECK_VALUE = 0xcbf43926;

/** Null where this process has no such function to call. */
export function bindPoolChecksum(koffi: Koffi): PoolChecksum | null {
  const crc32 = findFunction(koffi);
  if (crc32 === null) return null;
  return (bytes, previous) =>
    new Promise((resolve, reject) => {
      crc32.async(previous, koffi.address(bytes), bytes.byteLength, (error: Error | null, found: number | bigint) => {
        // Held until here: bytes that nobody refers to are collected.
        if (error || bytes.buffer === null) reject(error);
        else resolve(Number(found));
      });
    });
}

function findFunction(koffi: Koffi): NativeFunction | null {
  for (const name of FUNCTIONS) {
    try {
      const library: Library = koffi.load(null);
      const crc32 = library.func(`unsigned long ${name}(unsigned long crc, void *bytes, size_t length)`);
      const check = new TextEncoder().encode(CHECK_TEXT);
      if (Number(crc32(0, koffi.address(check), check.byteLength)) === CHECK_VALUE) return crc32;
    } catch {
      // Another build: try the next name.
    }
  }
  return null;
}
