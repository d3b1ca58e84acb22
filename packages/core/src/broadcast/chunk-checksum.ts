/**
 * The checksum of a chunk: CRC-32 over what the chunk is (content digest, index, segment, offset, length) and then its bytes. Right bytes
 * in a wrong place, or of another broadcast, do not pass. It detects faults and does not authenticate: the lane does that.
 */
import { crc32 } from "../checksum/crc32.ts";
import type { Chunk } from "./chunk-layout.ts";

const BOUND_BYTES = 56;

/** The checksum before any byte of the chunk; `digest` is `contentDigest` of the offer. */
export function startChecksum(digest: Uint8Array, { index, segment, offset, length }: Chunk): number {
  const bound = Buffer.alloc(BOUND_BYTES);
  bound.set(digest);
  bound.writeUInt32LE(index, 32);
  bound.writeUInt32LE(segment, 36);
  bound.writeDoubleLE(offset, 40);
  bound.writeDoubleLE(length, 48);
  return crc32(bound);
}

/** Goes on with the next bytes. */
export function extendChecksum(checksum: number, bytes: Uint8Array): number {
  return crc32(bytes, checksum);
}
