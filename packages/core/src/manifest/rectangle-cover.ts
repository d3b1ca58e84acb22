/** Whether rectangles tile a tensor: every element in exactly one. */

/** A box inside a tensor of some shape. */
export interface Rectangle {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

/** Corners looked at in all; real shards differ on one or two axes (2 or 4 corners each). */
const CORNERS_MAX = 2 ** 24;

/**
 * Exact, in one pass. The sum of the boxes' indicator functions equals that of the whole exactly when their mixed differences do, and the
 * mixed difference of a box is +1 or -1 at its corners. So corners, counted with sign, must cancel except at the corners of the whole.
 * Gives `null` when the boxes differ on so many axes that the count would not end soon.
 */
export function tileExactly(boxes: readonly Rectangle[], shape: readonly number[]): boolean | null {
  const solid = boxes.filter(({ sizes }) => !sizes.includes(0));
  if (shape.includes(0)) return solid.length === 0;
  const axes = shape.flatMap((size, axis) => (solid.every((box) => box.offsets[axis] === 0 && box.sizes[axis] === size) ? [] : [axis]));
  if (solid.length === 0) return false;
  if (axes.length === 0) return solid.length === 1;
  if (solid.length * 2 ** axes.length > CORNERS_MAX) return null;
  const counts = new Map<string, number>();
  for (const box of solid) countCorners(counts, box, axes, 1);
  countCorners(counts, { offsets: shape.map(() => 0), sizes: shape }, axes, -1);
  return counts.size === 0;
}

function countCorners(counts: Map<string, number>, { offsets, sizes }: Rectangle, axes: readonly number[], weight: 1 | -1): void {
  for (let corner = 0; corner < 2 ** axes.length; corner += 1) {
    let sign = weight as number;
    let key = "";
    for (const [bit, axis] of axes.entries()) {
      const far = (corner >> bit) & 1;
      if (far) sign = -sign;
      key += `${(offsets[axis] ?? 0) + (far ? (sizes[axis] ?? 0) : 0)},`;
    }
    const count = (counts.get(key) ?? 0) + sign;
    if (count === 0) counts.delete(key);
    else counts.set(key, count);
  }
}
