/** What to say about a zip without an end record. Runs only on files that are refused anyway; bounded by constants. */
import { type ByteSource, readBytes } from "../source/byte-source.ts";

const SCAN_BYTES_MAX = 16 * 2 ** 20;
const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR_SIGNATURE = Buffer.from([0x50, 0x4b, 7, 8]);
const END_SIGNATURE = Buffer.from([0x50, 0x4b, 5, 6]);
const END_BYTES = 22;

/** Position of an end record that stands too far from the end, looking at most 16 MiB back; null when there is none. */
export async function findFarEnd(source: ByteSource, signal?: AbortSignal): Promise<number | null> {
  const begin = Math.max(0, source.sizeBytes - SCAN_BYTES_MAX);
  const bytes = Buffer.from((await readBytes(source, begin, source.sizeBytes - begin, signal)).buffer);
  const at = bytes.lastIndexOf(END_SIGNATURE);
  return at < 0 || at + END_BYTES > bytes.length ? null : begin + at;
}

/** Name of the last record that is wholly in the file, when the first 16 MiB reach to the file's end; null when that is unknown. */
export async function lastWholeRecord(source: ByteSource, signal?: AbortSignal): Promise<string | null> {
  if (source.sizeBytes > SCAN_BYTES_MAX) return null;
  const bytes = Buffer.from((await readBytes(source, 0, source.sizeBytes, signal)).buffer);
  let last: string | null = null;
  for (let at = 0; at + LOCAL_BYTES <= bytes.length && bytes.readUInt32LE(at) === LOCAL_SIGNATURE; ) {
    const payload = at + LOCAL_BYTES + bytes.readUInt16LE(at + 26) + bytes.readUInt16LE(at + 28);
    const end = recordEnd(bytes, at, payload);
    if (end === null || end > bytes.length) break;
    last = bytes.toString("utf8", at + LOCAL_BYTES, at + LOCAL_BYTES + bytes.readUInt16LE(at + 26));
    at = end;
  }
  return last;
}

/** End of the record at `at`, its data descriptor included; null when the payload's end is not in `bytes`. */
function recordEnd(bytes: Buffer, at: number, payload: number): number | null {
  const streamed = (bytes.readUInt16LE(at + 6) & 8) !== 0;
  if (!streamed) return payload + bytes.readUInt32LE(at + 18);
  // torch leaves the sizes out of local headers, so the end is where a descriptor gives exactly the size passed over.
  for (let found = bytes.indexOf(DESCRIPTOR_SIGNATURE, payload); found >= 0; found = bytes.indexOf(DESCRIPTOR_SIGNATURE, found + 1)) {
    const size = found - payload;
    if (found + 16 <= bytes.length && bytes.readUInt32LE(found + 8) === size && bytes.readUInt32LE(found + 12) === size) return found + 16;
  }
  return null;
}
