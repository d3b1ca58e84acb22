/**
 * Copying tensors over strides: row-major into fresh memory, or into the memory of another tensor (torch's `copy_`).
 *
 *     one dtype, no lazy flags   words move straight from source to target
 *     otherwise                  block by block: gather -> apply flags, convert -> scatter, each step left out where it is not needed
 */
import { TensorError } from "../errors/checkpoint-error.ts";
import { convertElements, requireConvertible } from "./convert.ts";
import { copyWords, type WordArray } from "./copy-kernels.ts";
import { planLoops, spanOf, splitNest } from "./copy-loops.ts";
import { bytesOf, traitsOf } from "./dtype.ts";
import { flipSigns } from "./flip-signs.ts";
import { enforceMaterialisable, type MaterialiseLimits } from "./materialise.ts";
import { movePacked } from "./move-packed.ts";
import { Storage } from "./storage.ts";
import { beginByte, contiguousView, isPlain, narrowView, rowMajorBlocks, type StridedView } from "./strided-view.ts";
import { elementCount, elementSpan, sameShape } from "./strides.ts";

/** Elements per block where scratch is needed: at most 1 MiB of it. */
const BLOCK_ELEMENTS = 65_536;
/** Words that one pair of typed arrays shows: below the limits of Node 20 for views and of V8 for small integers. */
const WINDOW_WORDS = 2 ** 28;

/**
 * A fresh storage with the view's elements row-major; conj and neg are applied. `limits` bound how much larger than its storage a view
 * (with strides of 0) may be.
 * @throws {FormatError} RANKCAST_LIMIT when the view is far larger than the bytes behind it.
 * @throws {TensorError} RANKCAST_TENSOR_META when there are no bytes, RANKCAST_TENSOR_DTYPE when the type cannot be negated but must be.
 */
export function gatherContiguous(view: StridedView, limits?: MaterialiseLimits): Storage {
  enforceMaterialisable(view, limits);
  requireBytes(view);
  const storage = Storage.allocate(bytesOf(view.dtype, elementCount(view.shape)));
  gatherInto(view, storage);
  return storage;
}

/**
 * Writes the elements of `view` row-major at the start of `storage`, conj and neg applied. For callers that reuse scratch memory.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the type cannot be negated but must be.
 */
export function gatherInto(view: StridedView, storage: Storage): void {
  const target = contiguousView(view.dtype, view.shape, storage);
  moveElements(target, view);
  if (!view.conj && !view.neg) return;
  // The flags are applied in pieces because one view may not exceed 4 GiB.
  for (const { first, count } of rowMajorBlocks([elementCount(view.shape)], BLOCK_ELEMENTS)) {
    flipSigns(view.dtype, storage.bytes(bytesOf(view.dtype, first), bytesOf(view.dtype, count)), view);
  }
}

/**
 * Writes the values of `source` into the elements of `target`: torch's `copy_` without broadcasting. Dtype, strides and lazy flags may
 * differ; values are converted by the rules of `convertElements`. The source may be expanded, and may overlap the target, in which case it
 * is copied aside first.
 * @throws {TensorError} RANKCAST_TENSOR_SHAPE when shapes differ, RANKCAST_TENSOR_META when a side has no bytes, RANKCAST_TENSOR_OVERLAP
 * when several elements of the target are one place in memory, RANKCAST_TENSOR_DTYPE when the conversion is not defined.
 */
export function copyInto(target: StridedView, source: StridedView): void {
  requireCopyable(target, source);
  if (elementCount(target.shape) === 0) return;
  const sameFlags = target.conj === source.conj && target.neg === source.neg;
  const isMove = target.dtype === source.dtype && (sameFlags || (target.neg === source.neg && traitsOf(target.dtype).kind !== "complex"));
  if (overlapping(target, source)) {
    if (isMove && target.storageOffset === source.storageOffset && target.stride.every((step, axis) => step === source.stride[axis]))
      return;
    copyInto(target, contiguousView(source.dtype, source.shape, gatherContiguous(source, NO_LIMITS)));
  } else if (isMove) {
    moveElements(target, source);
  } else {
    convertBlocks(target, source);
  }
}

/** A source that overlaps its target has at most as many elements as the target has memory. */
const NO_LIMITS: MaterialiseLimits = { materialisedRatio: Number.POSITIVE_INFINITY, materialisedBytesFloor: Number.POSITIVE_INFINITY };

function requireCopyable(target: StridedView, source: StridedView): void {
  const details = { from: source.dtype, fromShape: source.shape, to: target.dtype, toShape: target.shape };
  if (!sameShape(target.shape, source.shape)) {
    throw new TensorError("RANKCAST_TENSOR_SHAPE", `cannot copy [${source.shape}] into [${target.shape}]: the shapes must be equal`, {
      details,
    });
  }
  if (target.dtype !== source.dtype) requireConvertible(source.dtype, target.dtype);
  requireBytes(target);
  requireBytes(source);
  // Gaps and permuted axes are fine, but with a step of 0 the last of several values would win by accident.
  if (target.stride.some((step, axis) => step === 0 && (target.shape[axis] ?? 0) > 1)) {
    throw new TensorError("RANKCAST_TENSOR_OVERLAP", `several elements of the target [${target.shape}] are one place in memory`, {
      details: { ...details, toStride: target.stride },
    });
  }
}

function requireBytes(view: StridedView): void {
  if (view.storage.buffer === null) {
    throw new TensorError("RANKCAST_TENSOR_META", "a meta tensor has a shape but no bytes", {
      details: { dtype: view.dtype, shape: view.shape },
    });
  }
}

/** Whether the two touch common bytes; judged by their first and last ones, so interleaved views count too. */
function overlapping(a: StridedView, b: StridedView): boolean {
  if (a.storage.buffer !== b.storage.buffer) return false;
  const range = (view: StridedView) => {
    const begin = view.storage.byteOffset + beginByte(view);
    return { begin, end: begin + bytesOf(view.dtype, elementSpan(view.shape, view.stride)) };
  };
  const [first, second] = [range(a), range(b)];
  return first.begin < second.end && second.begin < first.end;
}

/** Moves bytes; both have one dtype, one shape and at least one element. Flags are not looked at. */
function moveElements(target: StridedView, source: StridedView): void {
  const { bits } = traitsOf(source.dtype);
  if (elementCount(source.shape) === 0) return;
  if (bits % 8 !== 0 && !(isPlain({ ...source, conj: false, neg: false }) && isPlain({ ...target, conj: false, neg: false }))) {
    movePacked(target, source);
    return;
  }
  const targetByte = beginByte(target);
  const sourceByte = beginByte(source);
  const itemBytes = bits % 8 === 0 ? bits / 8 : 1;
  const word = wordBytes(itemBytes, target.storage.byteOffset + targetByte, source.storage.byteOffset + sourceByte);
  const loops =
    bits % 8 === 0
      ? planLoops(source.shape, target.stride, source.stride, itemBytes / word)
      : [{ size: bytesOf(source.dtype, elementCount(source.shape)), targetStep: 1, sourceStep: 1 }];
  for (const piece of splitNest({ loops, targetBegin: 0, sourceBegin: 0 }, WINDOW_WORDS)) {
    copyWords(
      wordsAt(target.storage, targetByte + piece.targetBegin * word, spanOf(piece.loops, "targetStep"), word),
      wordsAt(source.storage, sourceByte + piece.sourceBegin * word, spanOf(piece.loops, "sourceStep"), word),
      piece.loops,
    );
  }
}

/** The widest word that divides the element and both places. */
function wordBytes(itemBytes: number, targetByte: number, sourceByte: number): 1 | 2 | 4 {
  const fits = (word: number) => itemBytes % word === 0 && targetByte % word === 0 && sourceByte % word === 0;
  return fits(4) ? 4 : fits(2) ? 2 : 1;
}

function wordsAt(storage: Storage, begin: number, count: number, word: 1 | 2 | 4): WordArray {
  const bytes = storage.bytes(begin, count * word);
  if (word === 1) return bytes;
  return word === 2 ? new Uint16Array(bytes.buffer, bytes.byteOffset, count) : new Uint32Array(bytes.buffer, bytes.byteOffset, count);
}

/** Converts and resolves flags on the way, with at most three blocks of scratch. */
function convertBlocks(target: StridedView, source: StridedView): void {
  const direct = isPlain(target) && isPlain(source);
  const count = elementCount(target.shape);
  const blockElements = direct ? count : Math.min(BLOCK_ELEMENTS, count);
  const gathered = isPlain(source) ? source.storage : Storage.allocate(bytesOf(source.dtype, blockElements));
  const converted = isPlain(target) ? target.storage : Storage.allocate(bytesOf(target.dtype, blockElements));
  for (const block of rowMajorBlocks(target.shape, blockElements)) {
    const from = narrowView(source, block);
    const to = narrowView(target, block);
    if (gathered !== source.storage) gatherInto(from, gathered);
    convertElements(
      { dtype: source.dtype, storage: gathered, byteOffset: gathered === source.storage ? beginByte(from) : 0 },
      { dtype: target.dtype, storage: converted, byteOffset: converted === target.storage ? beginByte(to) : 0 },
      block.count,
    );
    if (converted === target.storage) continue;
    // What is written under a lazy flag must read back as the value, so the flag is applied once more before.
    flipSigns(target.dtype, converted.bytes(0, bytesOf(target.dtype, block.count)), target);
    moveElements(to, contiguousView(target.dtype, block.shape, converted));
  }
}
