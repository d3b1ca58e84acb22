/** What a conversion loses on given values. */
import { CAST_LOSSES, type CastLoss, describeCast } from "./cast-loss.ts";
import { convertElements, type ElementRun, requireConvertible } from "./convert.ts";
import { bytesOf, componentOf, type DType, traitsOf } from "./dtype.ts";
import { elementBytes } from "./element-bytes.ts";
import type { MaterialiseLimits } from "./materialise.ts";
import { Storage } from "./storage.ts";
import type { StridedView } from "./strided-view.ts";

/** What `measureCast` found. */
export interface CastMeasure {
  /** The worst that happened to any element; `lossless` for no elements. */
  readonly loss: CastLoss;
  /** Elements by what happened to each; they add up to the number of elements. */
  readonly counts: Readonly<Record<CastLoss, number>>;
}

/**
 * Counts what the conversion does to the elements of `view`. NaN that stays NaN is not lost, and 0 may change its sign. Needs a few blocks of
 * scratch.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the conversion is not defined, RANKCAST_TENSOR_META when there are no bytes.
 * @throws {FormatError} RANKCAST_LIMIT when the view is far larger than the bytes behind it.
 */
export function measureCast(view: StridedView, to: DType, limits?: MaterialiseLimits): CastMeasure {
  return measureUntil(view, to, limits, () => false);
}

/**
 * Whether the conversion changes any value of `view`; looks no further than the first block that holds one. Free for pairs of types that
 * lose nothing.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the conversion is not defined, RANKCAST_TENSOR_META when there are no bytes.
 * @throws {FormatError} RANKCAST_LIMIT when the view is far larger than the bytes behind it.
 */
export function castIsLossy(view: StridedView, to: DType, limits?: MaterialiseLimits): boolean {
  if (describeCast(view.dtype, to) === "lossless") return false;
  return measureUntil(view, to, limits, ({ loss }) => loss !== "lossless").loss !== "lossless";
}

/** Elements compared at once. */
const BLOCK_ELEMENTS = 4096;

function measureUntil(
  view: StridedView,
  to: DType,
  limits: MaterialiseLimits | undefined,
  enough: (so: CastMeasure) => boolean,
): CastMeasure {
  requireConvertible(view.dtype, to);
  const counts = { lossless: 0, rounding: 0, truncation: 0, imaginary: 0, overflow: 0 };
  const comparison = compareAs(view.dtype, to);
  const itemBytes = bytesOf(view.dtype, 1);
  for (const piece of elementBytes(view, limits)) {
    const count = piece.length / itemBytes;
    const source = new Storage(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let begin = 0; begin < count; begin += BLOCK_ELEMENTS) {
      const size = Math.min(BLOCK_ELEMENTS, count - begin);
      const losses = comparison(source, begin * itemBytes, size);
      for (let at = 0; at < size; at += 1) counts[CAST_LOSSES[losses[at] as number] as CastLoss] += 1;
      const measure = { loss: CAST_LOSSES.findLast((each) => counts[each] > 0) ?? "lossless", counts };
      if (enough(measure)) return measure;
    }
  }
  return { loss: CAST_LOSSES.findLast((each) => counts[each] > 0) ?? "lossless", counts };
}

/** Gives the loss of each of `size` elements from `byteOffset` on, as indices into CAST_LOSSES. */
type Comparison = (source: Storage, byteOffset: number, size: number) => Uint8Array;

const ROUNDING = CAST_LOSSES.indexOf("rounding");
const TRUNCATION = CAST_LOSSES.indexOf("truncation");
const IMAGINARY = CAST_LOSSES.indexOf("imaginary");
const OVERFLOW = CAST_LOSSES.indexOf("overflow");

/** Compares values before and after as float64, which is exact for all types but the 64-bit integers. */
function compareAs(from: DType, to: DType): Comparison {
  const before = newRun(wideOf(from));
  const converted = newRun(to);
  const after = newRun(wideOf(to));
  const back = newRun(from);
  const losses = new Uint8Array(BLOCK_ELEMENTS);
  const sourceParts = new Float64Array(before.storage.buffer as ArrayBuffer);
  const targetParts = new Float64Array(after.storage.buffer as ArrayBuffer);
  const [fromWidth, toWidth] = [widthOf(from), widthOf(to)];
  const part = componentOf(to);
  return (storage, byteOffset, size) => {
    const source = { dtype: from, storage, byteOffset };
    convertElements(source, before, size);
    convertElements(source, converted, size);
    convertElements(converted, after, size);
    const changed = isWideInteger(from) ? changedWords(source, converted, back, size) : undefined;
    for (let at = 0; at < size; at += 1) {
      const value = sourceParts[fromWidth * at] as number;
      const result = targetParts[toWidth * at] as number;
      const same = changed ? changed[at] === 0 : isSame(value, result);
      losses[at] = same ? 0 : lossOf(value, result, part, changed !== undefined);
      if (fromWidth === 1) continue;
      const imaginary = sourceParts[2 * at + 1] as number;
      const kept = toWidth === 1 ? 0 : (targetParts[2 * at + 1] as number);
      const lost = isSame(imaginary, kept) ? 0 : toWidth === 1 ? IMAGINARY : lossOf(imaginary, kept, part, false);
      losses[at] = Math.max(losses[at] as number, lost);
    }
    return losses;
  };
}

function newRun(dtype: DType): ElementRun {
  return { dtype, storage: Storage.allocate(bytesOf(dtype, BLOCK_ELEMENTS)), byteOffset: 0 };
}

function widthOf(dtype: DType): 1 | 2 {
  return traitsOf(dtype).kind === "complex" ? 2 : 1;
}

function wideOf(dtype: DType): DType {
  return widthOf(dtype) === 2 ? "complex128" : "float64";
}

function isWideInteger(dtype: DType): boolean {
  return dtype === "int64" || dtype === "uint64";
}

function isSame(before: number, after: number): boolean {
  return before === after || (Number.isNaN(before) && Number.isNaN(after));
}

/** Which 64-bit integers do not come back; between the two types those with the top bit, which changes its meaning. */
function changedWords(source: ElementRun, converted: ElementRun, back: ElementRun, size: number): Uint8Array {
  convertElements(converted, back, size);
  const first = source.storage.bytes(source.byteOffset, 8 * size);
  const second = back.storage.bytes(0, 8 * size);
  const reinterpreted = isWideInteger(converted.dtype) && converted.dtype !== source.dtype;
  const changed = new Uint8Array(size);
  for (let at = 0; at < 8 * size; at += 1) if (first[at] !== second[at]) changed[at >> 3] = 1;
  for (let at = 0; at < size; at += 1) if (reinterpreted && (first[8 * at + 7] as number) >= 0x80) changed[at] = 1;
  return changed;
}

/** What became of a value that did not survive. `rounded` says that it is a 64-bit integer, shown here only to 53 bits. */
function lossOf(value: number, result: number, target: DType, rounded: boolean): number {
  const { kind } = traitsOf(target);
  if (kind === "bool") return TRUNCATION;
  if (kind !== "float") return !rounded && Math.trunc(value) === result ? TRUNCATION : OVERFLOW;
  if (!Number.isFinite(result)) return OVERFLOW;
  // Two types hide overflow: e4m3fn keeps to 448 (464 still rounds there), e8m0fnu has neither a sign nor a zero.
  if (target === "float8_e4m3fn" && Math.abs(value) > 464) return OVERFLOW;
  return target === "float8_e8m0fnu" && value <= 0 ? OVERFLOW : ROUNDING;
}
