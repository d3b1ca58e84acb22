/**
 * A tensor of a distributed checkpoint out of its chunks. Every chunk is a tensor of its own, saved by one rank; together they must tile the
 * whole. torch itself checks neither holes nor overlaps and then returns uninitialised memory or whichever rank was read last.
 *
 *     chunks that split only the slowest axis:  [ chunk | chunk | chunk ]   plain pieces, one behind the other
 *     any other tiling:                         rectangle pieces, scattered row by row
 */
import { type ErrorDetails, FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type StorageExtent, type StoragePiece, StorageRef, TensorRef } from "../manifest/checkpoint-tree.ts";
import { tileExactly } from "../manifest/rectangle-cover.ts";
import { bytesOf, traitsOf } from "../tensor/dtype.ts";
import { contiguousStrides, elementCount, isContiguous, sameShape } from "../tensor/strides.ts";
import { cutPieces } from "./cut-pieces.ts";

/** One chunk: where it belongs, and the tensor that holds it. */
export interface DcpChunk {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  readonly leaf: TensorRef;
}

/** The tensor to be put together, for checks and messages. */
export interface DcpWhole {
  /** File that describes the checkpoint. */
  readonly file: string;
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * The whole tensor.
 * @throws {FormatError} RANKCAST_DCP_CHUNKS when the chunks do not tile it or are of several types; RANKCAST_UNSUPPORTED for chunks whose bytes
 *   cannot be placed without being computed.
 */
export function assembleChunks(whole: DcpWhole, chunks: readonly DcpChunk[]): TensorRef {
  requireTiling(whole, chunks);
  const solid = chunks.filter(({ sizes }) => !sizes.includes(0));
  const [first] = solid.length > 0 ? solid : chunks;
  if (first === undefined) return fail(whole, "has no chunk");
  for (const { sizes, leaf } of chunks) {
    if (!sameShape(leaf.shape, sizes)) fail(whole, `has a chunk of [${sizes}] whose file holds [${leaf.shape}]`);
    if (leaf.dtype !== first.leaf.dtype) fail(whole, `has chunks of ${first.leaf.dtype} and of ${leaf.dtype}`);
  }
  if (solid.length <= 1 && sameShape(first.sizes, whole.shape)) return first.leaf;
  return joinChunks(whole, solid, first.leaf);
}

function requireTiling(whole: DcpWhole, chunks: readonly DcpChunk[]): void {
  const { shape } = whole;
  for (const { offsets, sizes } of chunks) {
    const fits = offsets.length === shape.length && sizes.length === shape.length;
    if (!fits || sizes.some((size, axis) => (offsets[axis] ?? 0) + size > (shape[axis] ?? 0)))
      fail(whole, `[${shape}] has a chunk [${sizes}] at [${offsets}]`);
  }
  const tiled = tileExactly(chunks, shape);
  if (tiled === null) unsupported(whole, `${chunks.length} chunks that differ on many axes`);
  if (!tiled) fail(whole, `[${shape}] is not covered exactly by its ${chunks.length} chunks`);
}

function joinChunks(whole: DcpWhole, chunks: readonly DcpChunk[], like: TensorRef): TensorRef {
  const { dtype } = like;
  if (traitsOf(dtype).bits % 8 !== 0 || chunks.some(({ leaf }) => leaf.conj || leaf.neg || leaf.quantisation !== undefined))
    unsupported(whole, "chunks that are packed, quantised, conjugated or negated");
  if (chunks.some(({ leaf }) => leaf.storage.swapBytes !== like.storage.swapBytes)) unsupported(whole, "chunks of both byte orders");
  const axes = axisOrder(whole, chunks);
  const permuted = (numbers: readonly number[]): number[] => axes.map((axis) => numbers[axis] ?? 0);
  const shape = permuted(whole.shape);
  const itemBytes = bytesOf(dtype, 1);
  const rows = chunks.every(({ sizes }) => sameShape(permuted(sizes).slice(1), shape.slice(1)));
  const rowBytes = elementCount(shape.slice(1)) * itemBytes;
  const pieces = chunks.map((chunk): StoragePiece => {
    const nbytes = elementCount(chunk.sizes) * itemBytes;
    const extent = extentOf(whole, chunk.leaf, nbytes);
    const offsets = permuted(chunk.offsets);
    if (rows) return { at: (offsets[0] ?? 0) * rowBytes, nbytes, extent };
    return { at: 0, nbytes, extent, rectangle: { shape, offsets, sizes: permuted(chunk.sizes), itemBytes } };
  });
  const storage = new StorageRef({ nbytes: elementCount(shape) * itemBytes, pieces, swapBytes: like.storage.swapBytes, key: whole.name });
  const steps = contiguousStrides(shape);
  const stride = whole.shape.map((_, axis) => steps[axes.indexOf(axis)] ?? 1);
  return new TensorRef({ dtype, shape: whole.shape, stride, storageOffset: 0, storage, requiresGrad: like.requiresGrad });
}

/**
 * Axes from slowest to fastest as the chunks are stored. Row-major nearly always; a parameter kept channels-last or transposed keeps its
 * order when torch saves it, and then all its chunks have it. A chunk says nothing about axes on which it has one element, so each step takes
 * the first axis that no chunk knows to be faster than another one that is left.
 */
function axisOrder(whole: DcpWhole, chunks: readonly DcpChunk[]): readonly number[] {
  const left = whole.shape.map((_, axis) => axis);
  if (chunks.every(({ leaf }) => isContiguous(leaf.shape, leaf.stride))) return left;
  const axes: number[] = [];
  while (left.length > 0) {
    const at = left.findIndex((axis) => !chunks.some(({ leaf }) => left.some((other) => isSlower(leaf, other, axis))));
    if (at < 0) break;
    axes.push(...left.splice(at, 1));
  }
  const dense = chunks.every(({ leaf }) =>
    isContiguous(
      axes.map((axis) => leaf.shape[axis] ?? 1),
      axes.map((axis) => leaf.stride[axis] ?? 1),
    ),
  );
  return dense && left.length === 0 ? axes : unsupported(whole, "chunks whose elements are stored in different orders");
}

/** Whether a step on axis `a` goes farther than one on axis `b`, as far as this chunk tells. */
function isSlower({ shape, stride }: TensorRef, a: number, b: number): boolean {
  return (shape[a] ?? 1) > 1 && (shape[b] ?? 1) > 1 && (stride[a] ?? 0) > (stride[b] ?? 0);
}

/** Bytes of a dense chunk inside its own storage. */
function extentOf(whole: DcpWhole, leaf: TensorRef, nbytes: number): StorageExtent {
  const [piece, another] = cutPieces(leaf.storage, bytesOf(leaf.dtype, leaf.storageOffset), nbytes) ?? [];
  if (piece === undefined || another !== undefined || piece.nbytes !== nbytes)
    return unsupported(whole, "a chunk that is no run of bytes in a file");
  return piece.extent;
}

function fail(whole: DcpWhole, problem: string): never {
  throw new FormatError("RANKCAST_DCP_CHUNKS", `${whole.file}: ${quote(whole.name)} ${problem}`, { details: detailsOf(whole) });
}

function unsupported(whole: DcpWhole, feature: string): never {
  throw new FormatError("RANKCAST_UNSUPPORTED", `${whole.file}: ${quote(whole.name)} has ${feature}`, {
    details: { ...detailsOf(whole), feature },
  });
}

function detailsOf({ file, name, shape }: DcpWhole): ErrorDetails {
  return { file, key: name, shape };
}
