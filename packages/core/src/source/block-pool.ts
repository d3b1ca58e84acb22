/** Memory between the network and the disk. */

/**
 * One write. Large and aligned, a write costs the file system a fraction of what the same bytes cost in pieces: it takes whole large pages. Small
 * enough that a block is still in the processor's cache when it is hashed after it was written.
 */
export const BLOCK_BYTES = 2 ** 19;

/** Blocks that are used again and again: fresh memory costs a page fault per 4 KiB. Shared memory, because another thread writes them. */
export class BlockPool {
  readonly #free: Uint8Array[] = [];

  /** A block with any content. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(new SharedArrayBuffer(BLOCK_BYTES));
  }

  /** Gives one back that nobody reads or writes any more. */
  give(block: Uint8Array): void {
    this.#free.push(block);
  }
}
