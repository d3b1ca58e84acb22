/** Shapes of tables once each. A model of thousands of tensors has a few dozen shapes, and those of its scalars are all one. */
import { contiguousStrides } from "./strides.ts";

/** A bigint is above 2^53-1. */
type Sizes = readonly (number | bigint)[];

const SHAPE_SLOTS = 256;
const SCALAR: readonly number[] = [];

/** Shapes and their strides, of which a model has few that are different. Forgetful: what is not found is made again. */
export class ShapeSlots {
  private readonly shapes = new Array<Sizes>(SHAPE_SLOTS).fill(SCALAR);
  private readonly strides = new Array<readonly number[]>(SHAPE_SLOTS).fill(SCALAR);
  /** Whether the last answer had to be made. */
  made = false;

  /** A shape of the first `rank` numbers of `sizes`, which may be changed afterwards. */
  shapeOf(sizes: Sizes, rank: number): Sizes {
    const slot = slotOf(sizes, rank);
    const known = this.shapes[slot] as Sizes;
    this.made = !isPrefix(known, sizes, rank);
    if (!this.made) return known;
    const shape = sizes.slice(0, rank);
    this.shapes[slot] = shape;
    this.strides[slot] = SCALAR;
    return shape;
  }

  /** Row-major strides of `shape`. */
  stridesOf(shape: readonly number[]): readonly number[] {
    this.made = false;
    if (shape.length === 0) return SCALAR;
    const slot = slotOf(shape, shape.length);
    const known = this.strides[slot] as readonly number[];
    if (this.shapes[slot] === shape && known.length > 0) return known;
    const strides = contiguousStrides(shape);
    this.made = true;
    if (this.shapes[slot] === shape) this.strides[slot] = strides;
    return strides;
  }
}

function isPrefix(known: Sizes, sizes: Sizes, rank: number): boolean {
  if (known.length !== rank) return false;
  for (let axis = 0; axis < rank; axis += 1) if (known[axis] !== sizes[axis]) return false;
  return true;
}

function slotOf(sizes: Sizes, rank: number): number {
  let hash = rank;
  for (let axis = 0; axis < rank; axis += 1) hash = (Math.imul(hash, 31) + Number(sizes[axis])) | 0;
  return (hash ^ (hash >>> 8) ^ (hash >>> 16)) & (SHAPE_SLOTS - 1);
}
