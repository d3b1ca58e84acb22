/** A tar as members that can be changed and written again with right checksums. */
import { isTarHeader } from "@rankcast/core/internal";
import type { FuzzRandom } from "./fuzz-random.ts";
import { joined } from "./mutate-bytes.ts";

const BLOCK_BYTES = 512;

/** One member; the header's size and checksum are written anew. */
export interface TarPart {
  readonly header: Uint8Array;
  readonly bytes: Uint8Array;
}

/** The members of an honest tar; null when the bytes are none. */
export function readTarModel(bytes: Uint8Array): readonly TarPart[] | null {
  const parts: TarPart[] = [];
  for (let at = 0; at + BLOCK_BYTES <= bytes.length && isTarHeader(bytes.subarray(at, at + BLOCK_BYTES)); ) {
    const header = bytes.subarray(at, at + BLOCK_BYTES);
    const nbytes = Number.parseInt(Buffer.from(header.subarray(124, 135)).toString("latin1"), 8) || 0;
    parts.push({ header, bytes: bytes.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + nbytes) });
    at += BLOCK_BYTES + Math.ceil(nbytes / BLOCK_BYTES) * BLOCK_BYTES;
  }
  return parts.length === 0 ? null : parts;
}

/** The parts as a tar, mostly honest. */
export function writeTar(parts: readonly TarPart[], random: FuzzRandom): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const { header, bytes } of parts) {
    const written = Buffer.from(header);
    written.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
    if (random.oneIn(24)) changeHeader(written, random);
    if (!random.oneIn(48)) writeChecksum(written);
    const padding = (BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES;
    blocks.push(written, bytes, new Uint8Array(padding));
  }
  return joined(...blocks, new Uint8Array(random.oneIn(4) ? random.below(1200) : BLOCK_BYTES));
}

function changeHeader(header: Buffer, random: FuzzRandom): void {
  const turn = random.below(4);
  if (turn === 0) header.write(random.pick(["../x", "/x", "pickle", "storages", "a\\b", "C:x", ""]).padEnd(100, "\0"), 0, "latin1");
  else if (turn === 1) header.write(random.pick(["77777777777", "00000000000", "0000000000x", "-0000000001"]), 124, "latin1");
  else if (turn === 2) header[156] = random.below(256);
  else for (let at = 124; at < 136; at += 1) header[at] = at === 124 ? 0x80 : random.below(256);
}

function writeChecksum(header: Buffer): void {
  header.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
