/**
 * The zip archive that torch writes, byte for byte. Facts: `caffe2/serialize/inline_container.cc` (`PyTorchStreamWriter`, `getPadding`) and the
 * miniz it carries; `torch/serialization.py` computes payload offsets from the same rules without reading the archive, so a byte of padding
 * more or less would make it read wrong weights.
 *
 *     local header, name, [zip64 field], "FB" field that pads to the alignment, payload, data descriptor with signature
 */
import { crc32 } from "../checksum/crc32.ts";
import type { FileSink } from "./file-sink.ts";

/** Payloads start on multiples of this (`.storage_alignment`). */
export const STORAGE_ALIGNMENT = 64;
/** From here on a number does not fit its 32-bit field, because all ones mean "see the zip64 field". */
const WIDE = 0xffffffff;
const UTF8_NAME = 0x0800;
const DESCRIPTOR = 0x0008;

interface Entry {
  readonly name: Buffer;
  readonly headerOffset: number;
  readonly nbytes: number;
  readonly crc: number;
}

/** Where the archive goes. */
export type ZipSink = Pick<FileSink, "position" | "write">;

/** Writes stored records, then the directory. */
export class ZipWriter {
  readonly #sink: ZipSink;
  readonly #folder: string;
  readonly #entries: Entry[] = [];

  /** All records go into `folder`. */
  constructor(sink: ZipSink, folder: string) {
    this.#sink = sink;
    this.#folder = folder;
  }

  /** CRC-32 of every record so far, in order. */
  get checksums(): readonly number[] {
    return this.#entries.map(({ crc }) => crc);
  }

  /** Appends a record of `nbytes` bytes given in pieces. */
  async add(record: string, nbytes: number, chunks: Iterable<Uint8Array>): Promise<void> {
    const name = Buffer.from(`${this.#folder}/${record}`);
    const headerOffset = this.#sink.position;
    await this.#sink.write(localHeader(name, nbytes, headerOffset));
    let crc = 0;
    for (const chunk of chunks) {
      crc = crc32(chunk, crc);
      await this.#sink.write(chunk);
    }
    // miniz writes no descriptor behind an empty record.
    if (nbytes > 0) await this.#sink.write(descriptor(crc, nbytes, nbytes >= WIDE || headerOffset >= WIDE));
    this.#entries.push({ name, headerOffset, nbytes, crc });
  }

  /** Appends a record that is at hand. */
  addBytes(record: string, bytes: Uint8Array): Promise<void> {
    return this.add(record, bytes.length, bytes.length === 0 ? [] : [bytes]);
  }

  /** Writes the directory and the end records. */
  async finish(): Promise<void> {
    const begin = this.#sink.position;
    for (const entry of this.#entries) await this.#sink.write(directoryEntry(entry));
    await this.#sink.write(endRecords(this.#entries.length, begin, this.#sink.position - begin));
  }
}

/** Sizes and checksum stay 0: they follow in the descriptor. */
function localHeader(name: Buffer, nbytes: number, headerOffset: number): Buffer {
  const wide = zip64Field(nbytes, headerOffset);
  const begin = headerOffset + 30 + name.length + wide.length + 4;
  const padding = (STORAGE_ALIGNMENT - (begin % STORAGE_ALIGNMENT)) % STORAGE_ALIGNMENT;
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(flagsOf(nbytes), 6);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(wide.length + 4 + padding, 28);
  const filler = Buffer.alloc(4 + padding, "Z");
  filler.write("FB");
  filler.writeUInt16LE(padding, 2);
  return Buffer.concat([header, name, wide, filler]);
}

function flagsOf(nbytes: number): number {
  return nbytes > 0 ? UTF8_NAME | DESCRIPTOR : UTF8_NAME;
}

/** Both sizes, then the offset, each only when it does not fit; empty when all do. */
function zip64Field(nbytes: number, headerOffset: number): Buffer {
  const values = [...(nbytes >= WIDE ? [nbytes, nbytes] : []), ...(headerOffset >= WIDE ? [headerOffset] : [])];
  if (values.length === 0) return Buffer.alloc(0);
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, index) => {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  });
  return field;
}

function descriptor(crc: number, nbytes: number, wide: boolean): Buffer {
  const bytes = Buffer.alloc(wide ? 24 : 16);
  bytes.writeUInt32LE(0x08074b50, 0);
  bytes.writeUInt32LE(crc, 4);
  if (wide) {
    bytes.writeBigUInt64LE(BigInt(nbytes), 8);
    bytes.writeBigUInt64LE(BigInt(nbytes), 16);
  } else {
    bytes.writeUInt32LE(nbytes, 8);
    bytes.writeUInt32LE(nbytes, 12);
  }
  return bytes;
}

function directoryEntry({ name, headerOffset, nbytes, crc }: Entry): Buffer {
  const wide = zip64Field(nbytes, headerOffset);
  const bytes = Buffer.alloc(46);
  bytes.writeUInt32LE(0x02014b50, 0);
  bytes.writeUInt16LE(flagsOf(nbytes), 8);
  bytes.writeUInt32LE(crc, 16);
  bytes.writeUInt32LE(Math.min(nbytes, WIDE), 20);
  bytes.writeUInt32LE(Math.min(nbytes, WIDE), 24);
  bytes.writeUInt16LE(name.length, 28);
  bytes.writeUInt16LE(wide.length, 30);
  bytes.writeUInt32LE(Math.min(headerOffset, WIDE), 42);
  return Buffer.concat([bytes, name, wide]);
}

/** zip64 end record, its locator and the classic end record: torch always writes all three. */
function endRecords(count: number, directoryOffset: number, directoryBytes: number): Buffer {
  const bytes = Buffer.alloc(56 + 20 + 22);
  bytes.writeUInt32LE(0x06064b50, 0);
  bytes.writeBigUInt64LE(44n, 4);
  bytes.writeUInt16LE(0x031e, 12);
  bytes.writeUInt16LE(0x002d, 14);
  bytes.writeBigUInt64LE(BigInt(count), 24);
  bytes.writeBigUInt64LE(BigInt(count), 32);
  bytes.writeBigUInt64LE(BigInt(directoryBytes), 40);
  bytes.writeBigUInt64LE(BigInt(directoryOffset), 48);
  bytes.writeUInt32LE(0x07064b50, 56);
  bytes.writeBigUInt64LE(BigInt(directoryOffset + directoryBytes), 64);
  bytes.writeUInt32LE(1, 72);
  bytes.writeUInt32LE(0x06054b50, 76);
  bytes.writeUInt16LE(Math.min(count, 0xffff), 84);
  bytes.writeUInt16LE(Math.min(count, 0xffff), 86);
  bytes.writeUInt32LE(Math.min(directoryBytes, WIDE), 88);
  bytes.writeUInt32LE(Math.min(directoryOffset, WIDE), 92);
  return bytes;
}
