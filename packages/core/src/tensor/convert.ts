/** Converts runs of elements between numeric types, exactly as torch's `copy_` does on x86-64. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { bytesOf, componentOf, type DType, traitsOf } from "./dtype.ts";
import { decodeToFloat32Bits, encodeFromFloat32Bits, isSmallFloat } from "./float-bits.ts";
import { decodeLanes, encodeLanes, LANES, patternsOf, type RealDType, type Run, throughFloat32 } from "./lanes.ts";
import type { Storage } from "./storage.ts";

/** Contiguous elements somewhere in a storage. Any byte offset is fine, aligned ones are faster. */
export interface ElementRun {
  readonly dtype: DType;
  readonly storage: Storage;
  /** From the start of the storage. */
  readonly byteOffset: number;
}

/**
 * Whether a conversion between the two is defined: both must hold numbers of whole bytes. Quantised and packed types do not: their
 * elements mean nothing without a scale or their neighbours.
 */
export function isConvertible(from: DType, to: DType): boolean {
  return isNumeric(from) && isNumeric(to);
}

/**
 * Refuses a pair of types between which no conversion is defined.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE naming both types.
 */
export function requireConvertible(from: DType, to: DType): void {
  if (isConvertible(from, to)) return;
  throw new TensorError("RANKCAST_TENSOR_DTYPE", `${from} cannot be converted to ${to}`, { details: { from, to } });
}

/**
 * Writes `count` elements of `source` into `target` as the target's type. Runs must not overlap. Rounding is to nearest even; float64 and
 * 64-bit integers reach the 8- and 16-bit floats through float32; floats truncate towards zero into integers; integers wrap around;
 * complex to real drops the imaginary part; anything but zero is true.
 *
 * Works in blocks and with one view per block, so neither end needs to fit a typed array. Uses no memory beyond fixed scratch.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the conversion is not defined.
 */
export function convertElements(source: ElementRun, target: ElementRun, count: number): void {
  requireConvertible(source.dtype, target.dtype);
  const sourceItemBytes = bytesOf(source.dtype, 1);
  const targetItemBytes = bytesOf(target.dtype, 1);
  for (let begin = 0; begin < count; begin += BLOCK) {
    const size = Math.min(BLOCK, count - begin);
    const read = source.storage.bytes(source.byteOffset + begin * sourceItemBytes, size * sourceItemBytes);
    const write = target.storage.bytes(target.byteOffset + begin * targetItemBytes, size * targetItemBytes);
    if (isAligned(read, source.dtype) && isAligned(write, target.dtype)) {
      convertBlock(source.dtype, read, target.dtype, write, size);
    } else {
      // Copies into aligned scratch; only old safetensors files with a header of odd length come here.
      const from = new Uint8Array(read);
      const into = new Uint8Array(write.length);
      convertBlock(source.dtype, from, target.dtype, into, size);
      write.set(into);
    }
  }
}

/** Elements per block: half the lanes, because a complex element takes two. */
const BLOCK = LANES / 2;
const FIRST = new Float64Array(LANES);
const SECOND = new Float64Array(LANES);
const FLOAT32_BITS = new Uint32Array(LANES);

function isNumeric(dtype: DType): boolean {
  const { kind } = traitsOf(dtype);
  return kind !== "bits" && kind !== "quantised";
}

function isAligned(run: Run, dtype: DType): boolean {
  return run.byteOffset % traitsOf(dtype).swapBytes === 0;
}

function convertBlock(from: DType, source: Run, to: DType, target: Run, count: number): void {
  const fromComplex = traitsOf(from).kind === "complex";
  const toComplex = traitsOf(to).kind === "complex";
  const fromPart = componentOf(from) as RealDType;
  const toPart = componentOf(to) as RealDType;
  if (fromComplex === toComplex) {
    convertReal(fromPart, source, toPart, target, fromComplex ? 2 * count : count);
  } else if (fromComplex) {
    decodeLanes(fromPart, source, FIRST, 2 * count, throughFloat32(toPart));
    dropImaginary(FIRST, SECOND, count, to === "bool");
    encodeLanes(toPart, target, SECOND, count, false);
  } else {
    decodeLanes(fromPart, source, FIRST, count, throughFloat32(toPart));
    for (let at = 0; at < count; at += 1) {
      SECOND[2 * at] = FIRST[at] as number;
      SECOND[2 * at + 1] = 0;
    }
    encodeLanes(toPart, target, SECOND, 2 * count, false);
  }
}

/** Real parts; for bool the number is 1 when either part is not zero (torch asks both). */
function dropImaginary(pairs: Float64Array, lanes: Float64Array, count: number, either: boolean): void {
  for (let at = 0; at < count; at += 1) {
    const real = pairs[2 * at] as number;
    lanes[at] = either && real === 0 ? (pairs[2 * at + 1] as number) : real;
  }
}

function convertReal(from: RealDType, source: Run, to: RealDType, target: Run, count: number): void {
  if (from === to && from !== "bool") {
    new Uint8Array(target.buffer, target.byteOffset, bytesOf(to, count)).set(
      new Uint8Array(source.buffer, source.byteOffset, bytesOf(from, count)),
    );
  } else if (throughFloat32(from) && throughFloat32(to)) {
    convertFloat32Family(from, source, to, target, count);
  } else if (from === "float64" && to === "float32") {
    narrowFloat64(new Float64Array(source.buffer, source.byteOffset, count), new Float32Array(target.buffer, target.byteOffset, count));
  } else if (isWide(from) && isIntegral(to)) {
    convertWideToIntegral(source, to, target, count);
  } else {
    decodeLanes(from, source, FIRST, count, throughFloat32(to));
    encodeLanes(to, target, FIRST, count, isIntegral(from));
  }
}

/** A loop of our own: the engine's `set` between classes of arrays takes three times as long. */
function narrowFloat64(source: Float64Array, target: Float32Array): void {
  for (let at = 0; at < source.length; at += 1) target[at] = source[at] as number;
}

/** The paths that loading uses every day, without lanes: bits to bits. */
function convertFloat32Family(from: RealDType, source: Run, to: RealDType, target: Run, count: number): void {
  const direct = to === "float32" ? new Uint32Array(target.buffer, target.byteOffset, count) : FLOAT32_BITS;
  let bits = direct;
  if (isSmallFloat(from)) decodeToFloat32Bits(from, patternsOf(from, source, count), direct, count);
  else bits = new Uint32Array(source.buffer, source.byteOffset, count);
  if (isSmallFloat(to)) encodeFromFloat32Bits(to, bits, patternsOf(to, target, count), count);
}

function isWide(dtype: RealDType): boolean {
  return dtype === "int64" || dtype === "uint64";
}

function isIntegral(dtype: RealDType): boolean {
  const { kind } = traitsOf(dtype);
  return kind === "int" || kind === "uint" || kind === "bool";
}

/** 64-bit integers to integers: all wrap around, so only the low word counts; bool asks both words. */
function convertWideToIntegral(source: Run, to: RealDType, target: Run, count: number): void {
  const words = new Uint32Array(source.buffer, source.byteOffset, 2 * count);
  if (isWide(to)) {
    new Uint32Array(target.buffer, target.byteOffset, 2 * count).set(words);
    return;
  }
  for (let at = 0; at < count; at += 1) {
    const low = words[2 * at] as number;
    FIRST[at] = to === "bool" ? low | (words[2 * at + 1] as number) : low;
  }
  encodeLanes(to, target, FIRST, count, true);
}
