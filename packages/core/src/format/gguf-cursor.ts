/**
 * Reading a GGUF header piece by piece. The header has no length of its own, so a window of the file grows as far as the values in it
 * reach: parse from the window, and when a value leaves it, fetch more and parse that value again.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";

const FIRST_WINDOW_BYTES = 256 * 1024;

/** Thrown inside `GgufCursor.item` when the window ends before a value does; never leaves it. */
class WindowEnd extends Error {}

/** What is read and within which bounds. */
export interface GgufCursorOptions {
  readonly source: ByteSource;
  readonly limits: Limits;
  readonly heap: HeapBudget;
  readonly signal: AbortSignal | undefined;
}

/** Position in a GGUF header, and the values at it. */
export class GgufCursor {
  /** Next byte of the file. */
  at = 0;
  /** Version 1 counted with 32 bits. */
  wideCounts = true;
  littleEndian = true;
  readonly #options: GgufCursorOptions;
  #view = new DataView(new ArrayBuffer(0));
  #begin = 0;

  constructor(options: GgufCursorOptions) {
    this.#options = options;
  }

  /**
   * One item of the header, read by `parse` from the current position. `parse` may run several times and must not keep anything of a run
   * that did not end.
   * @throws {FormatError} RANKCAST_TRUNCATED when the file ends inside the item, RANKCAST_LIMIT; what `parse` throws.
   */
  async item<T>(parse: (cursor: GgufCursor) => T): Promise<T> {
    const begin = this.at;
    for (let windowBytes = FIRST_WINDOW_BYTES; ; windowBytes *= 2) {
      try {
        return parse(this);
      } catch (error) {
        if (!(error instanceof WindowEnd)) throw error;
      }
      this.at = begin;
      await this.#fill(begin, windowBytes);
    }
  }

  /** Unsigned 8-bit integer. */
  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  /** Unsigned 32-bit integer. */
  u32(): number {
    return this.#view.getUint32(this.#take(4), this.littleEndian);
  }

  /** Unsigned 64-bit integer; not a safe integer above 2^53-1. */
  u64(): number {
    return Number(this.#view.getBigUint64(this.#take(8), this.littleEndian));
  }

  /** A count, 64 bits wide except in version 1. */
  count(): number {
    return this.wideCounts ? this.u64() : this.u32();
  }

  /** `read(view, offset, littleEndian)` on `bytes` bytes. */
  scalar<T>(bytes: number, read: (view: DataView, offset: number, littleEndian: boolean) => T): T {
    return read(this.#view, this.#take(bytes), this.littleEndian);
  }

  /** A text; bytes that are no UTF-8 become U+FFFD, because tokenizers hold partial characters. */
  text(): string {
    const length = this.count();
    enforceLimit(this.#options.limits, "ggufStringBytes", length, {
      file: this.#options.source.name,
      offset: this.at,
      what: "text in the header",
    });
    const begin = this.#take(length);
    return Buffer.from(this.#view.buffer, this.#view.byteOffset + begin, length).toString("utf8");
  }

  /** Passes `bytes` bytes without looking at them; they need not be in the window. */
  skip(bytes: number): void {
    if (!(this.at + bytes <= this.#options.source.sizeBytes)) truncated(this.#options.source, this.at);
    this.at += bytes;
  }

  /** Offset in the window of the next `bytes` bytes, which are passed. */
  #take(bytes: number): number {
    if (!(this.at + bytes <= this.#options.source.sizeBytes)) truncated(this.#options.source, this.at);
    const offset = this.at - this.#begin;
    if (offset < 0 || offset + bytes > this.#view.byteLength) throw new WindowEnd();
    this.at += bytes;
    return offset;
  }

  async #fill(begin: number, windowBytes: number): Promise<void> {
    const { source, limits, signal } = this.#options;
    const length = Math.min(windowBytes, source.sizeBytes - begin);
    enforceLimit(limits, "indexBytes", length, { file: source.name, offset: begin, what: "one item of the header" });
    const bytes = await readBytes(source, begin, length, signal);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#begin = begin;
  }
}

function truncated(source: ByteSource, offset: number): never {
  throw new FormatError("RANKCAST_TRUNCATED", `${source.name}: the GGUF header ends with the file, inside a value at byte ${offset}`, {
    details: { file: source.name, offset, sizeBytes: source.sizeBytes },
  });
}
