/**
 * float32 bits to and from the bits of smaller floats. Rounding is to nearest, ties to even; overflow and NaN follow torch
 * (`c10/util/Half.h`, `BFloat16.h`, `Float8_e4m3fn.h`, `Float8_e5m2.h`, `Float8_e4m3fnuz.h`, `Float8_e5m2fnuz.h`, `Float8_e8m0fnu.h`).
 *
 * | type     | sign, exponent, mantissa bits | bias | above the largest value | NaN             |
 * |----------|-------------------------------|------|-------------------------|-----------------|
 * | float16  | 1 5 10                        | 15   | infinity                | any             |
 * | bfloat16 | 1 8 7                         | 127  | infinity                | any             |
 * | e4m3fn   | 1 4 3                         | 7    | +-448, infinity too     | 7f, ff          |
 * | e5m2     | 1 5 2                         | 15   | infinity                | 7d-7f, fd-ff    |
 * | e4m3fnuz | 1 4 3                         | 8    | NaN (no infinity)       | 80 (no -0)      |
 * | e5m2fnuz | 1 5 2                         | 16   | NaN (no infinity)       | 80 (no -0)      |
 * | e8m0fnu  | 0 8 0                         | 127  | NaN                     | ff (no 0, no -) |
 *
 * Earlier releases of torch gave NaN for e4m3fn above 464; 2.13, which these results are checked against, keeps to the largest value.
 */

/** The floats that hold no value float32 lacks. */
export type SmallFloat =
  | "float16"
  | "bfloat16"
  | "float8_e4m3fn"
  | "float8_e5m2"
  | "float8_e4m3fnuz"
  | "float8_e5m2fnuz"
  | "float8_e8m0fnu";

/** What tells one small float with a sign and a mantissa from another; all numbers are bit patterns or counts of bits. */
interface Layout {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** float32 bits of the first magnitude that is certainly above the largest value, rounding aside. */
  readonly overflowFrom: number;
  /** What overflow becomes, without sign. */
  readonly overflow: number;
  readonly nan: number;
  /** fnuz: one zero, and NaN where -0 would be. */
  readonly unsignedZero: boolean;
}

const LAYOUTS: ReadonlyMap<SmallFloat, Layout> = new Map([
  [
    "float16",
    { exponentBits: 5, mantissaBits: 10, bias: 15, overflowFrom: 0x4780_0000, overflow: 0x7c00, nan: 0x7e00, unsignedZero: false },
  ],
  [
    "float8_e4m3fn",
    { exponentBits: 4, mantissaBits: 3, bias: 7, overflowFrom: 0x43e8_0000, overflow: 0x7e, nan: 0x7f, unsignedZero: false },
  ],
  [
    "float8_e5m2",
    { exponentBits: 5, mantissaBits: 2, bias: 15, overflowFrom: 0x4780_0000, overflow: 0x7c, nan: 0x7f, unsignedZero: false },
  ],
  [
    "float8_e4m3fnuz",
    { exponentBits: 4, mantissaBits: 3, bias: 8, overflowFrom: 0x4380_0000, overflow: 0x80, nan: 0x80, unsignedZero: true },
  ],
  [
    "float8_e5m2fnuz",
    { exponentBits: 5, mantissaBits: 2, bias: 16, overflowFrom: 0x4780_0000, overflow: 0x80, nan: 0x80, unsignedZero: true },
  ],
]);

const FLOAT32_INFINITY = 0x7f80_0000;
const FLOAT32_QUIET_NAN = 0x7fc0_0000;

/** Whether `dtype` is one of the small floats. */
export function isSmallFloat(dtype: string): dtype is SmallFloat {
  return dtype === "bfloat16" || dtype === "float8_e8m0fnu" || LAYOUTS.has(dtype as SmallFloat);
}

/** Writes the float32 bits of `count` small floats. Exact: every small float is a float32. */
export function decodeToFloat32Bits(dtype: SmallFloat, source: Uint8Array | Uint16Array, target: Uint32Array, count: number): void {
  if (dtype === "bfloat16") {
    for (let at = 0; at < count; at += 1) target[at] = (source[at] as number) << 16;
    return;
  }
  const table = decodeTable(dtype);
  for (let at = 0; at < count; at += 1) target[at] = table[source[at] as number] as number;
}

/** Writes `count` float32 values, given as bits, rounded to `dtype`. */
export function encodeFromFloat32Bits(dtype: SmallFloat, source: Uint32Array, target: Uint8Array | Uint16Array, count: number): void {
  if (dtype === "bfloat16") {
    for (let at = 0; at < count; at += 1) target[at] = toBfloat16(source[at] as number);
  } else if (dtype === "float8_e8m0fnu") {
    for (let at = 0; at < count; at += 1) target[at] = toE8m0(source[at] as number);
  } else {
    const encode = encoderOf(dtype);
    for (let at = 0; at < count; at += 1) target[at] = encode(source[at] as number);
  }
}

const TABLES = new Map<SmallFloat, Uint32Array>();

/** float32 bits by pattern: 65 536 entries for the 16-bit floats (256 KiB, made at first use), 256 for the others. */
export function decodeTable(dtype: SmallFloat): Uint32Array {
  const known = TABLES.get(dtype);
  if (known) return known;
  const wide = dtype === "float16" || dtype === "bfloat16";
  const table = Uint32Array.from({ length: wide ? 65_536 : 256 }, (_, pattern) => decodePattern(dtype, pattern));
  TABLES.set(dtype, table);
  return table;
}

function decodePattern(dtype: SmallFloat, pattern: number): number {
  if (dtype === "bfloat16") return (pattern << 16) >>> 0;
  if (dtype === "float8_e8m0fnu") return pattern === 0xff ? FLOAT32_QUIET_NAN : pattern === 0 ? 0x0040_0000 : pattern << 23;
  const { exponentBits, mantissaBits, bias, unsignedZero } = LAYOUTS.get(dtype) as Layout;
  const signAt = exponentBits + mantissaBits;
  const sign = pattern >>> signAt === 0 ? 0 : 0x8000_0000;
  const exponent = (pattern >>> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = pattern & (2 ** mantissaBits - 1);
  if (unsignedZero && pattern === 0x80) return FLOAT32_QUIET_NAN;
  const top = !unsignedZero && exponent === 2 ** exponentBits - 1;
  if (dtype === "float8_e4m3fn" ? top && mantissa === 7 : top) {
    // The payload survives, as it does in the processor's own half conversion.
    return (sign | (mantissa === 0 ? FLOAT32_INFINITY : FLOAT32_QUIET_NAN | (mantissa << (23 - mantissaBits)))) >>> 0;
  }
  const magnitude =
    exponent === 0 ? mantissa * 2 ** (1 - bias - mantissaBits) : (2 ** mantissaBits + mantissa) * 2 ** (exponent - bias - mantissaBits);
  WORD_FLOAT[0] = magnitude;
  return (sign | (WORD_BITS[0] as number)) >>> 0;
}

const WORD_FLOAT = new Float32Array(1);
const WORD_BITS = new Uint32Array(WORD_FLOAT.buffer);

function toBfloat16(bits: number): number {
  if ((bits & 0x7fff_ffff) > FLOAT32_INFINITY) return 0x7fc0;
  // Adding just under half of the last place, and one more when the kept part is odd, is rounding to nearest even; a carry runs into
  // the exponent and, at its top, into infinity.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function toE8m0(bits: number): number {
  // No sign and no mantissa: the power of two nearest to the magnitude. Zero has none, and becomes the smallest, 2^-127.
  const exponent = (bits >>> 23) & 0xff;
  if (exponent === 0xff) return 0xff;
  const rest = bits & 0x7f_ffff;
  const up = exponent === 0 ? rest > 0x40_0000 : rest >= 0x40_0000;
  return up ? exponent + 1 : exponent;
}

/** The rounding of one layout, as a function of float32 bits. */
function encoderOf(dtype: SmallFloat): (bits: number) => number {
  const { mantissaBits, exponentBits, bias, overflowFrom, overflow, nan, unsignedZero } = LAYOUTS.get(dtype) as Layout;
  const signAt = exponentBits + mantissaBits;
  const dropped = 23 - mantissaBits;
  const smallestNormal = (128 - bias) << 23;
  const rebias = ((bias - 127) << 23) + (1 << (dropped - 1)) - 1;
  // A subnormal result counts units of 2^(1 - bias - mantissaBits); a float32 significand counts 2^(exponent - 150).
  const unitShift = 151 - bias - mantissaBits;
  return (bits) => {
    const magnitude = bits & 0x7fff_ffff;
    const sign = (bits >>> 31) << signAt;
    if (magnitude > FLOAT32_INFINITY) return unsignedZero ? nan : sign | nan;
    if (magnitude >= overflowFrom) return sign | overflow;
    if (magnitude >= smallestNormal) return sign | ((magnitude + rebias + ((magnitude >>> dropped) & 1)) >>> dropped);
    const rounded = shiftToEven(magnitude, unitShift - Math.max(magnitude >>> 23, 1));
    return rounded === 0 && unsignedZero ? 0 : sign | rounded;
  };
}

/** The significand of the float32 `magnitude` divided by 2^shift, rounded to nearest even. */
function shiftToEven(magnitude: number, shift: number): number {
  if (shift > 24) return 0;
  const significand = (magnitude & 0x7f_ffff) | (magnitude >= 0x80_0000 ? 0x80_0000 : 0);
  const kept = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}
