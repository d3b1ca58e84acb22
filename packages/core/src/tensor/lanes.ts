/**
 * The common middle of all conversions: blocks of float64 "lanes". Every element type but the 64-bit integers is exact in a float64;
 * those two are rounded on the way in by the rule of what they will become.
 */
import type { DType } from "./dtype.ts";
import { decodeToFloat32Bits, encodeFromFloat32Bits, isSmallFloat, type SmallFloat } from "./float-bits.ts";

/** Types with one number per element. */
export type RealDType = Exclude<DType, `${"complex" | "bits" | "q" | "float4_" | "float6_"}${string}`>;

/** Elements converted at once: 64 KiB of lanes stay in the first-level caches together with both ends. */
export const LANES = 8192;

const FLOAT32_LANES = new Float32Array(LANES);
const FLOAT32_LANE_BITS = new Uint32Array(FLOAT32_LANES.buffer);
const TWO_32 = 2 ** 32;
const TWO_63 = 2 ** 63;
const TWO_64 = 2 ** 64;

/** A run of memory, aligned for its element type. */
export interface Run {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
}

/** Types that torch reaches through float32: converting a float64 or an int64 to them rounds to float32 first (`c10/util/Half.h`). */
export function throughFloat32(dtype: RealDType): boolean {
  return dtype === "float32" || isSmallFloat(dtype);
}

/**
 * Reads `count` (at most `LANES`) elements into lanes. For 64-bit integers `forFloat32` says that the lanes will be rounded to float32
 * next, so that the two roundings together are one.
 */
export function decodeLanes(dtype: RealDType, { buffer, byteOffset }: Run, lanes: Float64Array, count: number, forFloat32: boolean): void {
  if (isSmallFloat(dtype)) {
    decodeToFloat32Bits(dtype, patternsOf(dtype, { buffer, byteOffset }, count), FLOAT32_LANE_BITS, count);
    lanes.set(count === LANES ? FLOAT32_LANES : FLOAT32_LANES.subarray(0, count));
  } else if (dtype === "int64" || dtype === "uint64") {
    decodeWide(dtype, new Uint32Array(buffer, byteOffset, 2 * count), lanes, count, forFloat32);
  } else if (dtype === "bool") {
    // A file may hold any byte in a bool; torch's rule is that every byte but 0 is true.
    const bytes = new Uint8Array(buffer, byteOffset, count);
    for (let at = 0; at < count; at += 1) lanes[at] = bytes[at] === 0 ? 0 : 1;
  } else {
    lanes.set(new NUMERIC_ARRAYS[dtype](buffer, byteOffset, count));
  }
}

/**
 * Writes `count` lanes as elements. `integral` says that the lanes came from integers: those wrap around, as in C, where floats follow
 * the processor's truncation.
 */
export function encodeLanes(dtype: RealDType, { buffer, byteOffset }: Run, lanes: Float64Array, count: number, integral: boolean): void {
  const used = count === LANES ? lanes : lanes.subarray(0, count);
  if (isSmallFloat(dtype)) {
    FLOAT32_LANES.set(used);
    encodeFromFloat32Bits(dtype, FLOAT32_LANE_BITS, patternsOf(dtype, { buffer, byteOffset }, count), count);
  } else if (dtype === "int64" || dtype === "uint64") {
    encodeWide(dtype, used, new Uint32Array(buffer, byteOffset, 2 * count));
  } else if (dtype === "bool") {
    const bytes = new Uint8Array(buffer, byteOffset, count);
    for (let at = 0; at < count; at += 1) bytes[at] = lanes[at] === 0 ? 0 : 1;
  } else {
    if (!integral) truncateInPlace(dtype, used);
    new NUMERIC_ARRAYS[dtype](buffer, byteOffset, count).set(used);
  }
}

/** The bit patterns of small floats at `run`. */
export function patternsOf(dtype: SmallFloat, { buffer, byteOffset }: Run, count: number): Uint8Array | Uint16Array {
  return dtype === "float16" || dtype === "bfloat16"
    ? new Uint16Array(buffer, byteOffset, count)
    : new Uint8Array(buffer, byteOffset, count);
}

type NumericDType = Exclude<RealDType, SmallFloat | "int64" | "uint64" | "bool">;
type NumericArray = Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;

const NUMERIC_ARRAYS: Readonly<Record<NumericDType, new (buffer: ArrayBufferLike, byteOffset: number, length: number) => NumericArray>> = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
};

/** 64-bit integers as two little-endian words each. */
function decodeWide(dtype: "int64" | "uint64", words: Uint32Array, lanes: Float64Array, count: number, forFloat32: boolean): void {
  for (let at = 0; at < count; at += 1) {
    const low = words[2 * at] as number;
    const top = words[2 * at + 1] as number;
    const high = dtype === "int64" ? top | 0 : top;
    // Up to 2^53 the sum is exact and otherwise rounded once, to nearest even. On the way to float32 that would be one rounding too
    // many: there the low 12 bits are replaced by one bit that says whether any was set (round to odd), which keeps the sum exact.
    const exact = high >= -0x20_0000 && high < 0x20_0000;
    const part = exact || !forFloat32 ? low : ((low & 0xffff_f000) | ((low & 0xfff) === 0 ? 0 : 0x800)) >>> 0;
    lanes[at] = high * TWO_32 + part;
  }
}

/**
 * Truncation to 64 bits as x86-64 does it, which is what torch's results are: out of range and NaN become the top bit alone (for uint64
 * from 2^63 up: the rest above 2^63, with the same rule). Negative values wrap into uint64.
 */
function encodeWide(dtype: "int64" | "uint64", lanes: Float64Array, words: Uint32Array): void {
  for (let at = 0; at < lanes.length; at += 1) {
    const whole = Math.trunc(lanes[at] as number);
    if (whole >= -TWO_63 && whole < (dtype === "int64" ? TWO_63 : TWO_64)) {
      const high = Math.floor(whole / TWO_32);
      words[2 * at] = whole - high * TWO_32;
      words[2 * at + 1] = high;
    } else {
      words[2 * at] = 0;
      words[2 * at + 1] = dtype === "uint64" && whole >= TWO_64 ? 0 : 0x8000_0000;
    }
  }
}

/**
 * Prepares floats for the wrapping store of a typed array. Signed types up to 32 bits and uint16 go through int32, uint8 and uint32
 * through int64; what does not fit there is the processor's "indefinite" value, of which the low bytes are kept. So 300 becomes the int8
 * 44, and 3e9 or NaN become the int32 -2147483648 and the int8 0.
 */
function truncateInPlace(dtype: NumericDType, lanes: Float64Array): void {
  if (dtype === "float32" || dtype === "float64") return;
  const wide = dtype === "uint8" || dtype === "uint32";
  const limit = wide ? TWO_63 : 2 ** 31;
  const indefinite = wide ? 0 : -(2 ** 31);
  for (let at = 0; at < lanes.length; at += 1) {
    const whole = Math.trunc(lanes[at] as number);
    // Written so that NaN takes the other branch.
    lanes[at] = whole >= -limit && whole < limit ? whole : indefinite;
  }
}
