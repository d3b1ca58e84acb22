/** Sequential writing into one open file. */
import type { FileHandle } from "node:fs/promises";

/**
 * Writes begin and end at multiples of this in the file, whatever sizes the pieces have. Small pieces (headers, tensors of a few bytes) are collected, so
 * that 100 000 of them are not 100 000 system calls. And what one call writes whole lies in one large page of the kernel's memory, where the file system
 * has such: who maps the file while it is there pays one fault for it, and 32 for what was written in two calls.
 */
const BLOCK_BYTES = 2 ** 21;
/** One system call writes at most this, so that a cancelled save stops soon. */
const WRITE_BYTES_MAX = 64 * 2 ** 20;

/** Appends bytes to a file and knows how many there are. */
export class FileSink {
  /** Bytes written or collected so far: where the next byte lands. */
  position = 0;
  readonly #file: FileHandle;
  readonly #signal: AbortSignal | undefined;
  /** The bytes before `position` that are not written yet: all of one block. */
  readonly #collected = new Uint8Array(BLOCK_BYTES);
  #collectedBytes = 0;

  constructor(file: FileHandle, signal?: AbortSignal) {
    this.#file = file;
    this.#signal = signal;
  }

  /** Appends `bytes`, which may be changed again when the promise is settled. @throws system errors; the signal's reason when aborted. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const roomBytes = BLOCK_BYTES - (this.position % BLOCK_BYTES);
      const leftBytes = bytes.length - at;
      const wholeBytes = roomBytes === BLOCK_BYTES ? leftBytes - (leftBytes % BLOCK_BYTES) : 0;
      const count = wholeBytes > 0 ? wholeBytes : Math.min(roomBytes, leftBytes);
      if (wholeBytes > 0) await this.#writeAll(bytes.subarray(at, at + count));
      else await this.#collect(bytes.subarray(at, at + count), roomBytes);
      this.position += count;
      at += count;
    }
  }

  async #collect(bytes: Uint8Array, roomBytes: number): Promise<void> {
    this.#collected.set(bytes, this.#collectedBytes);
    this.#collectedBytes += bytes.length;
    if (bytes.length === roomBytes) await this.flush();
  }

  /** Hands everything collected to the operating system. */
  async flush(): Promise<void> {
    const bytes = this.#collected.subarray(0, this.#collectedBytes);
    this.#collectedBytes = 0;
    await this.#writeAll(bytes);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      this.#signal?.throwIfAborted();
      const { bytesWritten } = await this.#file.write(bytes, done, Math.min(WRITE_BYTES_MAX, bytes.length - done));
      done += bytesWritten;
    }
  }
}
