/** Gathers the pieces of one response into writes of a useful size. */
import type { ByteRange } from "./byte-range.ts";

const WRITE_BYTES = 2 ** 20;

/** Where gathered pieces go. */
export type WritePieces = (pieces: readonly Uint8Array[], position: number) => Promise<void>;

/**
 * Writes consecutive pieces from `position` on. One write runs while the next one is gathered; no piece is copied. At most two gathered writes are held.
 * Pieces that somebody waits for are written at once.
 */
export class RangeWriter {
  readonly #write: WritePieces;
  readonly #isAwaited: (range: ByteRange) => boolean;
  #position: number;
  #pieces: Uint8Array[] = [];
  #gatheredBytes = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(write: WritePieces, position: number, isAwaited: (range: ByteRange) => boolean = () => false) {
    this.#write = write;
    this.#position = position;
    this.#isAwaited = isAwaited;
  }

  /** Takes the next pieces; waits only when the disk is slower than the network. */
  async push(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#gatheredBytes += piece.length;
    }
    if (this.#gatheredBytes >= WRITE_BYTES || this.#holdsAwaited()) await this.#start();
  }

  /** Writes what is gathered when somebody waits for it. */
  nudge(): void {
    // Reported by the next await of the running write.
    if (this.#holdsAwaited()) this.#start().catch(() => undefined);
  }

  /** Writes what is left and waits for it. Returns the position after the last byte written. */
  async flush(): Promise<number> {
    while (this.#pieces.length > 0) await this.#start();
    await this.#running;
    return this.#position;
  }

  #holdsAwaited(): boolean {
    return this.#gatheredBytes > 0 && this.#isAwaited({ begin: this.#position, end: this.#position + this.#gatheredBytes });
  }

  async #start(): Promise<void> {
    // Somebody else who waited for the same write may have begun the next one.
    for (let before: Promise<void> | null = null; before !== this.#running; ) {
      before = this.#running;
      await before;
    }
    if (this.#pieces.length === 0) return;
    const pieces = this.#pieces;
    const position = this.#position;
    this.#pieces = [];
    this.#position += this.#gatheredBytes;
    this.#gatheredBytes = 0;
    this.#running = this.#write(pieces, position);
    // Reported by the next await of it; without this a failure before that would be an unhandled rejection.
    this.#running.catch(() => undefined);
  }
}
