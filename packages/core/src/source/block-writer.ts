/** Gathers a body in blocks and writes full ones to their place, while the next one fills. */
import { BLOCK_BYTES, type BlockPool } from "./block-pool.ts";
import type { BodySink } from "./body-sink.ts";
import type { ByteRange } from "./byte-range.ts";

/** Blocks that are being written before the network is made to wait. */
const WRITES_MAX = 3;

/** Writes one block at its position in the file. Called for the next block before the one before is written; they end in the order of the calls. */
export type WriteBlock = (block: Uint8Array, position: number) => Promise<void>;

/** What a writer is made with. */
export interface BlockWriting {
  readonly write: WriteBlock;
  /** Whether somebody waits for bytes of this range: they are written at once. */
  readonly isAwaited: (range: ByteRange) => boolean;
  /** Bytes have arrived and are not written yet. `first` has those of the first read. @throws to refuse them. */
  readonly onBytes: (count: number, first: Uint8Array | null) => void;
  /** More was ready to be written than the disk took, for this long. */
  readonly onStall?: (ms: number) => void;
  readonly blocks: BlockPool;
  /** Where the first byte belongs. */
  readonly position: number;
}

/** Writes consecutive bytes from `position` on. Blocks end at multiples of their size in the file, wherever they begin. */
export class BlockWriter implements BodySink {
  readonly #with: BlockWriting;
  #block: Uint8Array | null = null;
  /** Bytes of the block that are there, and how many of them were given to a write. */
  #filledBytes = 0;
  #givenBytes = 0;
  /** Where the current block begins in the file. */
  #begin: number;
  #written: number;
  #begun = false;
  /** Those that have not ended, oldest first. Each ends after the one before, and fails with it. */
  readonly #writes: Promise<void>[] = [];

  constructor(writing: BlockWriting) {
    this.#with = writing;
    this.#begin = writing.position;
    this.#written = writing.position;
  }

  space(): Uint8Array {
    this.#block ??= this.#with.blocks.take();
    return this.#block.subarray(this.#filledBytes, this.#capacity);
  }

  filled(count: number): Promise<void> | null {
    this.#with.onBytes(count, this.#begun ? null : this.space().subarray(0, count));
    this.#begun = true;
    this.#filledBytes += count;
    if (this.#filledBytes === this.#capacity) this.#start();
    else this.nudge();
    return this.#writes.length > WRITES_MAX ? this.#stall() : null;
  }

  async #stall(): Promise<void> {
    const begunMs = performance.now();
    await this.#writes[0];
    this.#with.onStall?.(performance.now() - begunMs);
  }

  /** Writes what is gathered when somebody waits for it: at once, or when the write before has ended, together with what has come meanwhile. */
  nudge(): void {
    if (this.#writes.length === 0 && this.#holdsAwaited()) this.#start();
  }

  /**
   * Writes what is left and waits for all writes. To be called once, at the end.
   * @throws what a write failed with; `written` is still right.
   */
  async flush(): Promise<void> {
    if (this.#filledBytes > this.#givenBytes) this.#start();
    await this.#writes.at(-1);
    if (this.#block !== null) this.#with.blocks.give(this.#block);
  }

  /** The position after the last byte that is safely written. */
  get written(): number {
    return this.#written;
  }

  get #capacity(): number {
    return BLOCK_BYTES - (this.#begin % BLOCK_BYTES);
  }

  #holdsAwaited(): boolean {
    const range = { begin: this.#begin + this.#givenBytes, end: this.#begin + this.#filledBytes };
    return range.begin < range.end && this.#with.isAwaited(range);
  }

  /** Writes what the block has. The block stays in place until it is full: the connection may be reading into the rest of it. */
  #start(): void {
    const block = this.#block;
    if (block === null) return;
    const bytes = block.subarray(this.#givenBytes, this.#filledBytes);
    const begin = this.#begin + this.#givenBytes;
    const isFull = this.#filledBytes === this.#capacity;
    this.#givenBytes = this.#filledBytes;
    if (isFull) {
      this.#block = null;
      this.#begin += this.#filledBytes;
      this.#filledBytes = 0;
      this.#givenBytes = 0;
    }
    const before = this.#writes.at(-1);
    const writing = this.#with.write(bytes, begin);
    const end = async (): Promise<void> => {
      const failed = (await Promise.allSettled([before, writing])).find((each) => each.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      this.#written = begin + bytes.length;
      void this.#writes.shift();
      if (isFull) this.#with.blocks.give(block);
      this.nudge();
    };
    const running = end();
    this.#writes.push(running);
    // Reported by whoever awaits it next; without this a failure before that would be an unhandled rejection.
    running.catch(() => undefined);
  }
}
