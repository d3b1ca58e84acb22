/**
 * Frames of a lane: a head of 64 bytes, then `payloadBytes` bytes. Little endian.
 *
 * ```
 *  0 magic "RKB1"      8 payload bytes   16 checksum of the chunk   24 credit bytes (float64)   60 CRC-32 of bytes 0 to 59
 *  4 type              12 number         20 link                    32 content digest (16 bytes of 32)
 *  5 encoding of the payload: 0 as it is; other values are refused until both ends know them
 *  6 connection of the link (16 bits)
 * ```
 * `number` is the chunk (chunk, acknowledged), the node rank (subscribe, join, probe, finished), a count (have) or a connection (lost). `link` and
 * `connection` say what a connection is part of (subscribe, join); a link's first one subscribes, so that a sender that knows no links serves that one.
 * Payloads beside chunks are bitmaps of chunks: what is wanted (subscribe, join, probe) or missing (lost).
 */
import { crc32 } from "@rankcast/core/runtime";

/** Length of a head. */
export const HEAD_BYTES = 64;
/** Bytes of the content digest that heads carry. */
export const DIGEST_BYTES = 16;

const MAGIC = 0x31_42_4b_52;

/** What a frame is; the position is its number. `chunk` and `have` go from sender to receiver, the others back. */
export const FRAME_TYPES = ["subscribe", "probe", "acknowledged", "alive", "finished", "chunk", "have", "join", "lost"] as const;
/** What a frame is. */
export type FrameType = (typeof FRAME_TYPES)[number];

/** A decoded head. */
export interface FrameHead {
  readonly type: FrameType;
  readonly payloadBytes: number;
  readonly number: number;
  readonly checksum: number;
  readonly link: number;
  readonly connection: number;
  readonly creditBytes: number;
  /** 16 bytes as hexadecimal text. */
  readonly digest: string;
}

/** The head of a frame. */
export function encodeHead(head: Partial<FrameHead> & Pick<FrameHead, "type" | "digest">): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.writeUInt8(FRAME_TYPES.indexOf(head.type), 4);
  bytes.writeUInt16LE(head.connection ?? 0, 6);
  bytes.writeUInt32LE(head.payloadBytes ?? 0, 8);
  bytes.writeUInt32LE(head.number ?? 0, 12);
  bytes.writeUInt32LE(head.checksum ?? 0, 16);
  bytes.writeUInt32LE(head.link ?? 0, 20);
  bytes.writeDoubleLE(head.creditBytes ?? 0, 24);
  bytes.write(head.digest, 32, DIGEST_BYTES, "hex");
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** Reads a head; null when it is not whole, not ours, or of an encoding nobody knows. */
export function decodeHead(bytes: Buffer): FrameHead | null {
  const type = FRAME_TYPES[bytes.readUInt8(4)];
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(60) !== crc32(bytes.subarray(0, 60))) return null;
  if (type === undefined || bytes.readUInt8(5) !== 0) return null;
  return {
    type,
    payloadBytes: bytes.readUInt32LE(8),
    number: bytes.readUInt32LE(12),
    checksum: bytes.readUInt32LE(16),
    link: bytes.readUInt32LE(20),
    connection: bytes.readUInt16LE(6),
    creditBytes: bytes.readDoubleLE(24),
    digest: bytes.toString("hex", 32, 32 + DIGEST_BYTES),
  };
}
