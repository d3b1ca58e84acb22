/** A zip as records that can be changed and written again with right checksums, so that changes reach the readers behind the container. */
import { inflateRawSync } from "node:zlib";
import type { ZipRecord, ZipShape } from "../support/build-zip.ts";
import type { FuzzRandom } from "./fuzz-random.ts";

const DIRECTORY_SIGNATURE = Buffer.from([0x50, 0x4b, 1, 2]);

/** The records of an archive that an honest writer made; null when the bytes are none. */
export function readZipModel(bytes: Uint8Array): readonly ZipRecord[] | null {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const records: ZipRecord[] = [];
  try {
    for (let at = all.indexOf(DIRECTORY_SIGNATURE); at >= 0 && all.readUInt32LE(at) === 0x02014b50; ) {
      records.push(readRecord(all, at));
      at += 46 + all.readUInt16LE(at + 28) + all.readUInt16LE(at + 30) + all.readUInt16LE(at + 32);
    }
  } catch {
    return null;
  }
  return records.length === 0 ? null : records;
}

function readRecord(all: Buffer, at: number): ZipRecord {
  const storedBytes = all.readUInt32LE(at + 20);
  const headerOffset = all.readUInt32LE(at + 42);
  const name = all.toString("latin1", at + 46, at + 46 + all.readUInt16LE(at + 28));
  const begin = headerOffset + 30 + all.readUInt16LE(headerOffset + 26) + all.readUInt16LE(headerOffset + 28);
  if (begin + storedBytes > all.length) throw new RangeError("outside");
  const stored = all.subarray(begin, begin + storedBytes);
  const deflate = all.readUInt16LE(at + 10) === 8;
  const bytes = deflate ? inflateRawSync(stored, { maxOutputLength: 2 ** 20 }) : stored;
  return { name, bytes, deflate, alignment: 1 };
}

/** Lies and oddities of one record. */
function changeRecord(record: ZipRecord, random: FuzzRandom): ZipRecord {
  switch (random.below(10)) {
    case 0:
      return { ...record, deflate: !record.deflate };
    case 1:
      return { ...record, wide: !record.wide };
    case 2:
      return { ...record, sizesInHeader: !record.sizesInHeader };
    case 3:
      return { ...record, alignment: random.pick([1, 64, 128]) };
    case 4:
      return { ...record, crc32: random.oneIn(2) ? 0 : random.u32() };
    case 5:
      return { ...record, directory: { nbytes: Math.max(0, record.bytes.length + random.below(9) - 4) } };
    case 6:
      return {
        ...record,
        directory: { storedBytes: random.oneIn(2) ? random.u32() : Math.max(0, record.bytes.length + random.below(9) - 4) },
      };
    case 7:
      return { ...record, directory: { headerOffset: random.oneIn(2) ? random.u32() : random.below(2000) } };
    case 8:
      return { ...record, directory: { name: changeName(record.name, random) } };
    default:
      return { ...record, name: changeName(record.name, random) };
  }
}

function changeName(name: string, random: FuzzRandom): string {
  const slash = name.indexOf("/");
  const [folder, rest] = slash < 0 ? ["", name] : [name.slice(0, slash), name.slice(slash + 1)];
  return random.pick([
    `${folder}/data/${random.below(4)}`,
    `${folder}/../${rest}`,
    `other/${rest}`,
    rest,
    `${folder}/`,
    `${folder}//${rest}`,
    `${folder}\\${rest}`,
    `${folder}/byteorder`,
    `${folder}/constants.pkl`,
    `/${name}`,
    `${name}\0`,
    name.toUpperCase(),
    "",
    `${folder}/version`,
    `${folder}/data.pkl`,
    `${name}.npy`,
  ]);
}

/** Records with one change of their list or of one of them. */
export function changeRecords(records: readonly ZipRecord[], random: FuzzRandom): ZipRecord[] {
  const changed = [...records];
  const at = random.below(changed.length);
  const record = changed[at];
  if (!record) return changed;
  switch (random.below(6)) {
    case 0:
      changed.splice(at, 1);
      return changed;
    case 1:
      changed.splice(random.below(changed.length + 1), 0, record);
      return changed;
    case 2:
      changed.splice(at, 1);
      changed.splice(random.below(changed.length + 1), 0, record);
      return changed;
    default:
      changed[at] = changeRecord(record, random);
      return changed;
  }
}

/** The archive's end, mostly honest. */
export function zipShape(random: FuzzRandom, records: number): ZipShape {
  if (!random.oneIn(6)) return { zip64: !random.oneIn(4) };
  const turn = random.below(3);
  if (turn === 0) return { entryCount: Math.max(0, records + random.below(5) - 2) };
  if (turn === 1) return { directoryOffset: random.oneIn(2) ? random.u32() : random.below(4000) };
  return { comment: Uint8Array.from({ length: random.below(80) }, () => random.pick([0x50, 0x4b, 5, 6, 0])) };
}
