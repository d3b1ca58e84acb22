/** Bytes of an archive that are in memory, addressed by their offset in the file. */
import { type ByteSource, readBytes } from "../source/byte-source.ts";

/** A run of the file that was read; offsets given to its methods are offsets in the file. */
export class ZipWindow {
  readonly begin: number;
  /** First offset behind the window. */
  readonly end: number;
  readonly bytes: Buffer;
  /** The same bytes, for loops over all records: numbers in it begin at 0 where the window begins. */
  readonly view: DataView;

  constructor(begin: number, bytes: Uint8Array) {
    this.begin = begin;
    this.end = begin + bytes.length;
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Whether `[begin, end)` is inside. */
  covers(begin: number, end: number): boolean {
    return begin >= this.begin && end <= this.end;
  }

  u16(at: number): number {
    return this.view.getUint16(at - this.begin, true);
  }

  u32(at: number): number {
    return this.view.getUint32(at - this.begin, true);
  }

  u64(at: number): bigint {
    return this.view.getBigUint64(at - this.begin, true);
  }

  /** `length` bytes at `at`, a character each. */
  latin1(at: number, length: number): string {
    const begin = at - this.begin;
    return this.bytes.toString("latin1", begin, begin + length);
  }

  /** Whether `length` bytes at `at` are those of `other` at `otherAt`. */
  equals(at: number, other: ZipWindow, otherAt: number, length: number): boolean {
    const mine = this.bytes;
    const theirs = other.bytes;
    const shift = otherAt - other.begin - (at - this.begin);
    for (let each = at - this.begin; each < at - this.begin + length; each += 1) {
      if (mine[each] !== theirs[each + shift]) return false;
    }
    return true;
  }

  /** A view of `length` bytes at `at`; no copy. */
  slice(at: number, length: number): Uint8Array {
    return this.bytes.subarray(at - this.begin, at - this.begin + length);
  }
}

/** `[begin, end)` out of `known` when that covers it, else read. @throws {SourceError} as `readInto`. */
export async function windowOver(
  source: ByteSource,
  known: ZipWindow | null,
  begin: number,
  end: number,
  signal?: AbortSignal,
): Promise<ZipWindow> {
  if (known?.covers(begin, end)) return known;
  return new ZipWindow(begin, await readBytes(source, begin, end - begin, signal));
}
