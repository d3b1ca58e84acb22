/** Turns big-endian bytes into little-endian ones, in place. */

/** One view at a time: Node refuses views of 4 GiB and more. A multiple of 8. */
const WINDOW_BYTES = 2 ** 30;

/** Reverses every `unit` bytes of `[0, nbytes)`; `window(at, length)` gives the memory. `nbytes` is a multiple of `unit`. */
export function swapInPlace(nbytes: number, unit: 1 | 2 | 4 | 8, window: (at: number, length: number) => Uint8Array): void {
  if (unit === 1) return;
  for (let at = 0; at < nbytes; at += WINDOW_BYTES) {
    const bytes = window(at, Math.min(WINDOW_BYTES, nbytes - at));
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (unit === 2) buffer.swap16();
    else if (unit === 4) buffer.swap32();
    else buffer.swap64();
  }
}
