/** Bytes of an archive that are in memory, addressed by their offset in the file. */
import { type ByteSource, readBytes } from "../source/byte-source.ts";

/** A run of the file that was read; offsets given to its methods are offsets in the file. */
export class ZipWindow {
  readonly begin: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(begin: number, bytes: Uint8Array) {
    this.begin = begin;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** First offset behind the window. */
  get end(): number {
    return this.begin + this.bytes.length;
  }

  /** Whether `[begin, end)` is inside. */
  covers(begin: number, end: number): boolean {
    return begin >= this.begin && end <= this.end;
  }

  u16(at: number): number {
    return this.#view.getUint16(at - this.begin, true);
  }

  u32(at: number): number {
    return this.#view.getUint32(at - this.begin, true);
  }

  u64(at: number): bigint {
    return this.#view.getBigUint64(at - this.begin, true);
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
