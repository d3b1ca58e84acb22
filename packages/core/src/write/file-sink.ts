/** Sequential writing into one open file. */
import type { FileHandle } from "node:fs/promises";

/** Small pieces (headers, tensors of a few bytes) are collected to this size, so that 100 000 of them are not 100 000 system calls. */
const COLLECTED_BYTES = 2 ** 20;
/** One system call writes at most this, so that a cancelled save stops soon. */
const WRITE_BYTES_MAX = 64 * 2 ** 20;

/** Appends bytes to a file and knows how many there are. */
export class FileSink {
  /** Bytes written or collected so far: where the next byte lands. */
  position = 0;
  readonly #file: FileHandle;
  readonly #signal: AbortSignal | undefined;
  readonly #collected = new Uint8Array(COLLECTED_BYTES);
  #collectedBytes = 0;

  constructor(file: FileHandle, signal?: AbortSignal) {
    this.#file = file;
    this.#signal = signal;
  }

  /** Appends `bytes`, which may be changed again when the promise is settled. @throws system errors; the signal's reason when aborted. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#collectedBytes + bytes.length > COLLECTED_BYTES) await this.flush();
    if (bytes.length >= COLLECTED_BYTES) {
      await this.#writeAll(bytes);
    } else {
      this.#collected.set(bytes, this.#collectedBytes);
      this.#collectedBytes += bytes.length;
    }
    this.position += bytes.length;
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
