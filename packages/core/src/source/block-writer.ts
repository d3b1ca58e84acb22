/** Gathers a body in blocks and writes full ones to their place, while the next one fills. */
import type { BodySink } from "./body-sink.ts";
import type { ByteRange } from "./byte-range.ts";

/**
 * One write. Large and aligned, a write costs the file system a fraction of what the same bytes cost in pieces: it takes whole large pages. Small
 * enough that a block is still in the processor's cache when it is written.
 */
const BLOCK_BYTES = 2 ** 20;
/** Written blocks that wait for the disk before the network is made to wait. */
const WRITES_MAX = 2;

/** Writes one block at its position in the file. */
export type WriteBlock = (block: Uint8Array, position: number) => Promise<void>;

/** Blocks that are used again and again: fresh memory costs a page fault per 4 KiB. */
export class BlockPool {
  readonly #free: Uint8Array[] = [];

  /** A block with any content. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(BLOCK_BYTES);
  }

  /** Gives one back that nobody reads or writes any more. */
  give(block: Uint8Array): void {
    this.#free.push(block);
  }
}

/** What a writer is made with. */
export interface BlockWriting {
  readonly write: WriteBlock;
  /** Whether somebody waits for bytes of this range: they are written at once. */
  readonly isAwaited: (range: ByteRange) => boolean;
  /** Bytes have arrived and are not written yet. `first` has those of the first read. @throws to refuse them. */
  readonly onBytes: (count: number, first: Uint8Array | null) => void;
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
  /** Each begins when the one before has ended; after a failure nothing is written any more. */
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
    return this.#writes.length > WRITES_MAX ? (this.#writes[0] ?? null) : null;
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
    const write = async (): Promise<void> => {
      await this.#with.write(bytes, begin);
      this.#written = begin + bytes.length;
      void this.#writes.shift();
      if (isFull) this.#with.blocks.give(block);
      this.nudge();
    };
    const running = (this.#writes.at(-1) ?? Promise.resolve()).then(write);
    this.#writes.push(running);
    // Reported by whoever awaits it next; without this a failure before that would be an unhandled rejection.
    running.catch(() => undefined);
  }
}
