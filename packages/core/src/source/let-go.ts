/** Memory that is free before the collector looks for it. */

/** Less than this is not worth a call. */
const LET_GO_BYTES_MIN = 256 * 1024;

/**
 * Frees the memory of `bytes`, which nobody may look at again: they are empty from now on. The text of a table is as large as what becomes of it, and
 * would otherwise be kept until the old generation is collected. Does nothing for a part of a larger buffer, or a small one.
 */
export function letGo({ buffer, byteLength }: ArrayBufferView): void {
  if (!(buffer instanceof ArrayBuffer) || byteLength < LET_GO_BYTES_MIN || byteLength !== buffer.byteLength) return;
  // Moves the memory to a new buffer that is garbage at once, and young: the next small collection frees it.
  structuredClone(buffer, { transfer: [buffer] });
}
