/** Writes zip archives byte by byte, with the liberties of torch's writer and room for lies. */
import { crc32, deflateRawSync } from "node:zlib";

/** One record; what is left out is written as torch would. */
export interface ZipRecord {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  /** Sizes and checksum in the local header, no descriptor (as Python's zipfile writes). Default: zeros and a descriptor (as torch). */
  readonly sizesInHeader?: boolean;
  /** 8-byte sizes and the zip64 field, as above 4 GiB. */
  readonly wide?: boolean;
  /** Multiple on which the payload starts. Default 64. */
  readonly alignment?: number;
  readonly crc32?: number;
  /** Values of the directory entry to write instead of the true ones. */
  readonly directory?: { readonly name?: string; readonly headerOffset?: number; readonly nbytes?: number; readonly storedBytes?: number };
}

/** Options of the whole archive. */
export interface ZipShape {
  /** zip64 end records. Default true, as torch. */
  readonly zip64?: boolean;
  readonly comment?: Uint8Array;
  readonly entryCount?: number;
  readonly directoryOffset?: number;
}

/** Bytes of an archive with these records in this order. */
export function buildZip(records: readonly ZipRecord[], shape: ZipShape = {}): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  const push = (bytes: Uint8Array): void => {
    parts.push(bytes);
    at += bytes.length;
  };
  for (const record of records) {
    const headerOffset = at;
    const facts = factsOf(record);
    push(localHeader(record, facts, at));
    push(facts.stored);
    if (streamed(record)) push(descriptor(record, facts));
    directory.push(directoryEntry(record, facts, headerOffset));
  }
  const begin = at;
  for (const entry of directory) push(entry);
  push(endRecords(records.length, begin, at - begin, at, shape));
  return Buffer.concat(parts);
}

interface Facts {
  readonly stored: Uint8Array;
  readonly crc: number;
  readonly name: Buffer;
}

function factsOf(record: ZipRecord): Facts {
  return {
    stored: record.deflate ? deflateRawSync(record.bytes) : record.bytes,
    crc: record.crc32 ?? crc32(record.bytes),
    name: Buffer.from(record.name),
  };
}

/** torch writes no descriptor behind an empty record. */
function streamed(record: ZipRecord): boolean {
  return !record.sizesInHeader && (record.bytes.length > 0 || record.deflate === true);
}

function flagsOf(record: ZipRecord): number {
  return streamed(record) ? 0x0808 : 0x0800;
}

function localHeader(record: ZipRecord, { stored, crc, name }: Facts, at: number): Buffer {
  const wide = record.wide && record.sizesInHeader ? zip64Field([record.bytes.length, stored.length]) : Buffer.alloc(0);
  const alignment = record.alignment ?? 64;
  const base = at + 30 + name.length + wide.length + 4;
  const padding = Buffer.alloc((alignment - (base % alignment)) % alignment, "Z");
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(flagsOf(record), 6);
  header.writeUInt16LE(record.deflate ? 8 : 0, 8);
  if (record.sizesInHeader) {
    header.writeUInt32LE(crc, 14);
    header.writeUInt32LE(record.wide ? 0xffffffff : stored.length, 18);
    header.writeUInt32LE(record.wide ? 0xffffffff : record.bytes.length, 22);
  }
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(wide.length + 4 + padding.length, 28);
  return Buffer.concat([header, name, wide, Buffer.from([0x46, 0x42, padding.length & 255, padding.length >> 8]), padding]);
}

function descriptor(record: ZipRecord, { stored, crc }: Facts): Buffer {
  const bytes = Buffer.alloc(record.wide ? 24 : 16);
  bytes.writeUInt32LE(0x08074b50, 0);
  bytes.writeUInt32LE(crc, 4);
  if (record.wide) {
    bytes.writeBigUInt64LE(BigInt(stored.length), 8);
    bytes.writeBigUInt64LE(BigInt(record.bytes.length), 16);
  } else {
    bytes.writeUInt32LE(stored.length, 8);
    bytes.writeUInt32LE(record.bytes.length, 12);
  }
  return bytes;
}

function directoryEntry(record: ZipRecord, { stored, crc, name }: Facts, headerOffset: number): Buffer {
  const lies = record.directory ?? {};
  const written = lies.name === undefined ? name : Buffer.from(lies.name, "latin1");
  const numbers = [lies.nbytes ?? record.bytes.length, lies.storedBytes ?? stored.length, lies.headerOffset ?? headerOffset];
  const extra = record.wide ? zip64Field(numbers) : Buffer.alloc(0);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(flagsOf(record), 8);
  entry.writeUInt16LE(record.deflate ? 8 : 0, 10);
  entry.writeUInt32LE(crc, 16);
  entry.writeUInt32LE(record.wide ? 0xffffffff : (numbers[1] ?? 0), 20);
  entry.writeUInt32LE(record.wide ? 0xffffffff : (numbers[0] ?? 0), 24);
  entry.writeUInt16LE(written.length, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt32LE(record.wide ? 0xffffffff : (numbers[2] ?? 0), 42);
  return Buffer.concat([entry, written, extra]);
}

function zip64Field(values: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, index) => {
    field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  });
  return field;
}

function endRecords(count: number, offset: number, size: number, at: number, shape: ZipShape): Buffer {
  const comment = shape.comment ?? new Uint8Array();
  const claimed = { count: shape.entryCount ?? count, offset: shape.directoryOffset ?? offset };
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(claimed.count, 0xffff), 8);
  end.writeUInt16LE(Math.min(claimed.count, 0xffff), 10);
  end.writeUInt32LE(Math.min(size, 0xffffffff), 12);
  end.writeUInt32LE(Math.min(claimed.offset, 0xffffffff), 16);
  end.writeUInt16LE(comment.length, 20);
  const wide = Buffer.alloc(shape.zip64 === false ? 0 : 76);
  if (wide.length > 0) {
    wide.writeUInt32LE(0x06064b50, 0);
    wide.writeBigUInt64LE(44n, 4);
    wide.writeBigUInt64LE(BigInt(claimed.count), 24);
    wide.writeBigUInt64LE(BigInt(claimed.count), 32);
    wide.writeBigUInt64LE(BigInt(size), 40);
    wide.writeBigUInt64LE(BigInt(claimed.offset), 48);
    wide.writeUInt32LE(0x07064b50, 56);
    wide.writeBigUInt64LE(BigInt(at), 64);
    wide.writeUInt32LE(1, 72);
  }
  return Buffer.concat([wide, end, comment]);
}
