/** A dumb reference for strided tensors, and generators of random ones. */
import { DTYPES, type DType, Storage, Tensor } from "@rankcast/core";
import fc from "fast-check";

/** Storage offsets of all elements, row-major. */
export function offsetsOf(shape: readonly number[], stride: readonly number[], start: number): number[] {
  let offsets = [start];
  shape.forEach((size, axis) => {
    offsets = offsets.flatMap((offset) => Array.from({ length: size }, (_, at) => offset + at * (stride[axis] ?? 0)));
  });
  return offsets;
}

/** The logical elements' bytes, row-major, one element at a time. */
export function naiveBytes(tensor: Tensor): Uint8Array {
  const itemBytes = (DTYPES.get(tensor.dtype)?.bits ?? 0) / 8;
  return Buffer.concat(
    offsetsOf(tensor.shape, tensor.stride, tensor.storageOffset).map((offset) => tensor.storage.bytes(offset * itemBytes, itemBytes)),
  );
}

/** A storage of pseudo-random bytes, the first byte at `byteOffset` of its buffer. */
export function noise(nbytes: number, seed: number, byteOffset = 0): Storage {
  const buffer = new ArrayBuffer(byteOffset + nbytes);
  const bytes = new Uint8Array(buffer);
  let state = seed * 2 + 1;
  for (let at = 0; at < bytes.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return new Storage(buffer, byteOffset, nbytes);
}

/** Random layouts: permuted axes, gaps, offsets; with `expanded` also strides of 0 and overlaps. */
export function arbitraryLayout(options: {
  expanded: boolean;
  axes?: number;
  size?: number;
}): fc.Arbitrary<{ shape: number[]; stride: number[]; offset: number }> {
  const { expanded, axes = 5, size = 5 } = options;
  return fc
    .tuple(
      fc.array(fc.nat(size), { maxLength: axes }),
      fc.nat(2 ** 30),
      fc.nat(7),
      fc.array(fc.nat(3), { minLength: axes, maxLength: axes }),
    )
    .map(([shape, seed, offset, gaps]) => {
      const order = shape.map((_, axis) => axis).sort((a, b) => ((seed >> a) & 3) - ((seed >> b) & 3) || a - b);
      const stride = new Array<number>(shape.length).fill(0);
      let step = 1;
      for (const axis of order) {
        const gap = gaps[axis] ?? 0;
        stride[axis] = expanded && gap === 3 ? 0 : expanded && gap === 2 ? 1 : step * (gap === 1 ? 2 : 1);
        step = Math.max(step, (stride[axis] ?? 0) * Math.max(shape[axis] ?? 1, 1));
      }
      return { shape, stride, offset };
    });
}

/** A tensor of noise with the given layout. */
export function noiseTensor(
  dtype: DType,
  layout: { shape: number[]; stride: number[]; offset: number },
  seed: number,
  byteOffset = 0,
): Tensor {
  const { shape, stride, offset } = layout;
  const span = shape.includes(0) ? 0 : shape.reduce((sum, size, axis) => sum + (size - 1) * (stride[axis] ?? 0), 1);
  const nbytes = Math.ceil(((offset + span) * (DTYPES.get(dtype)?.bits ?? 0)) / 8);
  return new Tensor({ dtype, shape, stride, storageOffset: offset, storage: noise(nbytes, seed, byteOffset) });
}
