/** Arithmetic of shapes and strides, in elements. Pure. */

/** Number of elements of `shape`; 1 for a 0-dim tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Row-major strides of `shape`, torch's rule for sizes of 0 and 1 included (`max(size, 1)` per step). */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    strides[axis] = step;
    step *= Math.max(shape[axis] ?? 1, 1);
  }
  return strides;
}

/** Whether elements lie row-major without gaps; axes of size 1 may have any stride, empty tensors are contiguous. */
export function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const size = shape[axis] ?? 1;
    if (size !== 1 && stride[axis] !== step) return shape.includes(0);
    step *= size;
  }
  return true;
}

/** Whether elements lie without gaps and each at a place of its own, in whatever order of axes: row-major, column-major, channels last. */
export function isDense(shape: readonly number[], stride: readonly number[]): boolean {
  const axes = shape.flatMap((size, axis) => (size === 1 ? [] : [{ size, step: stride[axis] ?? 0 }])).sort((a, b) => a.step - b.step);
  let expected = 1;
  for (const { size, step } of axes) {
    if (step !== expected) return shape.includes(0);
    expected *= size;
  }
  return true;
}

/** Elements from the first to one past the last element touched (0 for an empty tensor). Strides are never negative. */
export function elementSpan(shape: readonly number[], stride: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, axis) => span + (size - 1) * (stride[axis] ?? 0), 1);
}

/** Whether two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  // A loop, because planning asks this for every key of a cold process.
  for (let axis = 0; axis < a.length; axis += 1) if (a[axis] !== b[axis]) return false;
  return true;
}
