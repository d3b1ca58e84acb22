/** Moving elements that are smaller than a byte (quint4x2, quint2x4, the 6-bit floats): bits in little-endian order, first element lowest. */
import { traitsOf } from "./dtype.ts";
import type { StridedView } from "./strided-view.ts";

/** Copies all elements of `source` to `target`, bit by bit. Both have one dtype and one shape. Slow, and rare enough for that. */
export function movePacked(target: StridedView, source: StridedView): void {
  const { bits } = traitsOf(source.dtype);
  const index = source.shape.map(() => 0);
  const into = target.storage.bytes();
  const from = source.storage.bytes();
  for (;;) {
    const to = bits * offsetOf(target, index);
    const at = bits * offsetOf(source, index);
    for (let bit = 0; bit < bits; bit += 1) writeBit(into, to + bit, readBit(from, at + bit));
    let axis = index.length - 1;
    for (; axis >= 0; axis -= 1) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (source.shape[axis] as number)) break;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

function offsetOf(view: StridedView, index: readonly number[]): number {
  return index.reduce((offset, at, axis) => offset + at * (view.stride[axis] ?? 0), view.storageOffset);
}

function readBit(bytes: Uint8Array, at: number): number {
  return ((bytes[Math.floor(at / 8)] as number) >> (at % 8)) & 1;
}

function writeBit(bytes: Uint8Array, at: number, bit: number): void {
  const byte = Math.floor(at / 8);
  const mask = 1 << (at % 8);
  bytes[byte] = bit === 1 ? (bytes[byte] as number) | mask : (bytes[byte] as number) & ~mask;
}
