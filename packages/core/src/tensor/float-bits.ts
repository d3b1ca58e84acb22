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
    encodeByTable(dtype, source, target, count);
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

/**
 * By exponent of a float32, what rounding to the smaller type does with its significand: the bits to drop (the low eight, of which shifts look at
 * five), and above them what is added to the kept bits: the exponent of the result, or the whole result for what overflows.
 */
type RoundingTable = Int32Array;

const ROUNDING = new Map<SmallFloat, RoundingTable>();

/** From this many dropped bits on nothing is left of a significand of 24 bits, rounding included. */
const DROP_ALL = 25;
const BASE_SHIFT = 8;

function roundingTable(dtype: SmallFloat): RoundingTable {
  const known = ROUNDING.get(dtype);
  if (known) return known;
  const { mantissaBits, bias, overflowFrom, overflow } = LAYOUTS.get(dtype) as Layout;
  const table = Int32Array.from({ length: 256 }, (_, exponent) => {
    const scaled = exponent - 127 + bias;
    if (exponent * 0x80_0000 >= overflowFrom) return (overflow << BASE_SHIFT) | DROP_ALL;
    // Normal: the implicit one counts as one step of the exponent, hence the 1 less.
    if (scaled >= 1) return ((scaled - 1) << (mantissaBits + BASE_SHIFT)) | (23 - mantissaBits);
    // Subnormal: a float32 significand counts 2^(exponent - 150), the result 2^(1 - bias - mantissaBits). What is subnormal in float32 itself is nothing here.
    return Math.min(DROP_ALL, 151 - bias - mantissaBits - Math.max(exponent, 1));
  });
  ROUNDING.set(dtype, table);
  return table;
}

/** One look-up and no branch on the size of a value: what the processor cannot foresee costs it several times as much. */
function encodeByTable(dtype: SmallFloat, source: Uint32Array, target: Uint8Array | Uint16Array, count: number): void {
  const { exponentBits, mantissaBits, nan, overflow, unsignedZero } = LAYOUTS.get(dtype) as Layout;
  const table = roundingTable(dtype);
  const signShift = 31 - exponentBits - mantissaBits;
  const signMask = 1 << (exponentBits + mantissaBits);
  const zeroKeepsSign = unsignedZero ? 0 : -1;
  for (let at = 0; at < count; at += 1) {
    const bits = source[at] as number;
    const rounding = table[(bits >> 23) & 0xff] as number;
    const significand = (bits & 0x7f_ffff) | 0x80_0000;
    // Half of the last kept place, less one unless the kept part is odd: to nearest, ties to even. A carry runs into the exponent.
    const half = (1 << (rounding - 1)) - 1;
    const kept = (significand + half + ((significand >> rounding) & 1)) >> rounding;
    let magnitude = (rounding >> BASE_SHIFT) + kept;
    const excess = overflow - magnitude;
    magnitude += excess & (excess >> 31);
    if ((bits & 0x7fff_ffff) > FLOAT32_INFINITY) magnitude = nan;
    target[at] = ((bits >> signShift) & signMask & (zeroKeepsSign | (-magnitude >> 31))) | magnitude;
  }
}
