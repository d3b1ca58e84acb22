/** What a conversion between two element types can lose, by the types alone. Pure. */
import { requireConvertible } from "./convert.ts";
import { componentOf, type DType, traitsOf } from "./dtype.ts";

/**
 * From harmless to harmful:
 * - `lossless`: every value survives.
 * - `rounding`: values move to a neighbour in the target type; small ones may become 0.
 * - `truncation`: fractions are cut off (float to int), or everything but 0 becomes 1 (to bool).
 * - `imaginary`: imaginary parts are dropped.
 * - `overflow`: values outside the target's range become infinity, NaN, the largest value, or wrap around.
 */
export type CastLoss = "lossless" | "rounding" | "truncation" | "imaginary" | "overflow";

/** All losses, from harmless to harmful. */
export const CAST_LOSSES: readonly CastLoss[] = ["lossless", "rounding", "truncation", "imaginary", "overflow"];

/** The more harmful of two. */
export function worseLoss(a: CastLoss, b: CastLoss): CastLoss {
  return CAST_LOSSES.indexOf(a) < CAST_LOSSES.indexOf(b) ? b : a;
}

/**
 * The worst that the conversion may do. Ranges are compared by powers of two: where both end in the same one (float32 and bfloat16, uint16
 * and float16), the pair is `rounding` although the very largest values round out of range. NaN and infinity are not counted for integer
 * targets, which have neither. `measureCast` tells what happens to given values.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the conversion is not defined.
 */
export function describeCast(from: DType, to: DType): CastLoss {
  requireConvertible(from, to);
  if (from === to) return "lossless";
  if (traitsOf(to).kind === "bool") return "truncation";
  const drops = traitsOf(from).kind === "complex" && traitsOf(to).kind !== "complex";
  return worseLoss(drops ? "imaginary" : "lossless", describeParts(componentOf(from), componentOf(to)));
}

function describeParts(from: DType, to: DType): CastLoss {
  const source = rangeOf(from);
  const target = rangeOf(to);
  const toFloat = traitsOf(to).kind === "float";
  if (source.top > target.top || (source.negative && !target.negative) || (source.zero && !target.zero)) return "overflow";
  if (toFloat && source.infinity && !target.infinity) return "overflow";
  if (traitsOf(from).kind === "float" && !toFloat) return "truncation";
  return source.digits > target.digits || source.lowest < target.lowest ? "rounding" : "lossless";
}

/** The set of values of a type, as far as losses need it. */
interface Range {
  /** Significant bits. */
  readonly digits: number;
  /** Every value is a multiple of 2^lowest. */
  readonly lowest: number;
  /** Every magnitude is at most 2^top. */
  readonly top: number;
  readonly negative: boolean;
  readonly zero: boolean;
  readonly infinity: boolean;
}

const FLOATS: ReadonlyMap<DType, Range> = new Map(
  (
    [
      ["float64", 53, -1074, 1024],
      ["float32", 24, -149, 128],
      ["float16", 11, -24, 16],
      ["bfloat16", 8, -133, 128],
      ["float8_e4m3fn", 4, -9, 9],
      ["float8_e5m2", 3, -16, 16],
      ["float8_e4m3fnuz", 4, -10, 8],
      ["float8_e5m2fnuz", 3, -17, 16],
      ["float8_e8m0fnu", 1, -127, 128],
    ] as const
  ).map(([name, digits, lowest, top]) => {
    const powersOnly = name === "float8_e8m0fnu";
    const infinity = !name.startsWith("float8_") || name === "float8_e5m2";
    return [name, { digits, lowest, top, negative: !powersOnly, zero: !powersOnly, infinity }] as const;
  }),
);

function rangeOf(dtype: DType): Range {
  const known = FLOATS.get(dtype);
  if (known) return known;
  const { bits, kind } = traitsOf(dtype);
  const digits = kind === "bool" ? 1 : kind === "int" ? bits - 1 : bits;
  return { digits, lowest: 0, top: digits, negative: kind === "int", zero: true, infinity: false };
}
