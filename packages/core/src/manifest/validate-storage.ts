/** Proves that a storage's pieces fill it exactly and lie inside their files. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { sameShape } from "../tensor/strides.ts";
import type { StorageExtent, StoragePiece } from "./checkpoint-tree.ts";
import type { SourceDescriptor, StorageDescriptor } from "./manifest.ts";
import { tileExactly } from "./rectangle-cover.ts";
import { StorageRef } from "./storage-ref.ts";

/** What the pieces of one storage refer to. */
export interface StorageContext {
  readonly index: number;
  readonly sources: readonly SourceDescriptor[];
  readonly limits: Limits;
}

/**
 * Checks one storage; returns its bytes that come straight from files, for the sum against the files' size.
 * @throws {FormatError} RANKCAST_STORAGE_LAYOUT, RANKCAST_TRUNCATED (a piece ends behind its file), RANKCAST_LIMIT (`inflateRatio`).
 */
export function validateStorage(storage: StorageDescriptor, context: StorageContext): number {
  if (isPlainRecord(storage, context)) return storage.nbytes;
  const fail = (text: string): FormatError => storageError(context, text);
  if (!isCount(storage.nbytes)) throw fail(`size ${storage.nbytes}`);
  if (![1, 2, 4, 8].includes(storage.swapBytes)) throw fail(`byte order unit ${storage.swapBytes}`);
  if (storage.meta) {
    if (storage.pieces.length > 0) throw fail("it is on the meta device and has bytes");
    return 0;
  }
  // A state dict published from memory has no files; its bytes are handed over in segments.
  if (context.sources.length === 0 && storage.pieces.length === 0) return 0;
  if (storage.nbytes % storage.swapBytes !== 0) throw fail(`${storage.nbytes} bytes cannot be swapped by ${storage.swapBytes}`);
  let stored = 0;
  for (const piece of storage.pieces) stored += validatePiece(piece, storage, context);
  requireFilled(storage, fail);
  return stored;
}

/** Whether one stored run of a file fills the storage, with nothing to complain about: most storages, and so the quick answer. */
function isPlainRecord(storage: StorageDescriptor, { sources }: StorageContext): boolean {
  const runEnd = storage instanceof StorageRef ? storage.runEnd : null;
  if (storage instanceof StorageRef && runEnd !== null) {
    const file = sources[storage.runSource];
    return file !== undefined && runEnd <= file.version.sizeBytes && storage.swapBytes === 1 && !storage.meta;
  }
  const { nbytes, pieces, swapBytes, meta } = storage;
  const piece = pieces[0];
  if (piece === undefined || pieces.length !== 1 || meta || !isCount(nbytes) || swapBytes !== 1) return false;
  const { extent } = piece;
  if (extent.type !== "range" || extent.encoding !== "stored" || piece.rectangle || piece.at !== 0) return false;
  if (piece.nbytes !== nbytes || extent.storedBytes !== nbytes || !isCount(extent.offset)) return false;
  if (extent.crc32 !== null && !(isCount(extent.crc32) && extent.crc32 < 2 ** 32)) return false;
  const source = sources[extent.source];
  return source !== undefined && extent.offset + nbytes <= source.version.sizeBytes;
}

function validatePiece(piece: StoragePiece, storage: StorageDescriptor, context: StorageContext): number {
  const fail = (text: string): FormatError => storageError(context, text);
  if (!isCount(piece.at) || !isCount(piece.nbytes)) throw fail(`a piece of ${piece.nbytes} bytes at ${piece.at}`);
  if (piece.rectangle) requireRectangle(piece, storage, fail);
  else if (piece.at + piece.nbytes > storage.nbytes)
    throw fail(`a piece ends at ${piece.at + piece.nbytes}, the storage at ${storage.nbytes}`);
  return validateExtent(piece.extent, piece.nbytes, context);
}

function validateExtent(extent: StorageExtent, nbytes: number, context: StorageContext): number {
  const fail = (text: string): FormatError => storageError(context, text);
  if (extent.type === "inline") {
    if (extent.bytes.length !== nbytes) throw fail(`${extent.bytes.length} bytes given for a piece of ${nbytes}`);
    return 0;
  }
  const source = context.sources[extent.source];
  if (!source) throw fail(`file ${extent.source} does not exist`);
  if (!isCount(extent.offset) || !isCount(extent.storedBytes)) throw fail(`${extent.storedBytes} bytes at offset ${extent.offset}`);
  requireInFile(extent, source, context);
  if (extent.crc32 !== null && !(isCount(extent.crc32) && extent.crc32 < 2 ** 32)) throw fail(`checksum ${extent.crc32}`);
  if (extent.encoding === "stored") {
    if (extent.storedBytes !== nbytes) throw fail(`${extent.storedBytes} stored bytes for a piece of ${nbytes}`);
    return nbytes;
  }
  if (nbytes > context.limits.inflateRatioBytesFloor && nbytes > extent.storedBytes * context.limits.inflateRatio) {
    enforceLimit(context.limits, "inflateRatio", nbytes / Math.max(extent.storedBytes, 1), {
      file: source.name,
      what: storageName(context),
      ...(extent.record === undefined ? {} : { record: extent.record }),
      offset: extent.offset,
    });
  }
  return 0;
}

function requireInFile(extent: StorageExtent & { type: "range" }, source: SourceDescriptor, context: StorageContext): void {
  const end = extent.offset + extent.storedBytes;
  if (end <= source.version.sizeBytes) return;
  throw new FormatError(
    "RANKCAST_TRUNCATED",
    `${printable(source.name)}: ${storageName(context)} ends at byte ${end}, the file at ${source.version.sizeBytes}`,
    { details: { file: source.name, offset: extent.offset, expected: end, found: source.version.sizeBytes } },
  );
}

function requireRectangle({ at, nbytes, rectangle }: StoragePiece, storage: StorageDescriptor, fail: (text: string) => FormatError): void {
  if (!rectangle) return;
  const { shape, offsets, sizes, itemBytes } = rectangle;
  if (at !== 0) throw fail(`a rectangle at byte ${at}`);
  if (shape.length !== offsets.length || shape.length !== sizes.length) throw fail("a rectangle of another rank than its tensor");
  if (![shape, offsets, sizes].every((numbers) => numbers.every(isCount)) || !isCount(itemBytes) || itemBytes === 0) {
    throw fail(`a rectangle [${sizes}] at [${offsets}] of [${shape}]`);
  }
  const outside = sizes.some((size, axis) => (offsets[axis] ?? 0) + size > (shape[axis] ?? 0));
  if (outside || product(sizes) * itemBytes !== nbytes || product(shape) * itemBytes !== storage.nbytes) {
    throw fail(`a rectangle [${sizes}] at [${offsets}] of ${nbytes} bytes does not fit [${shape}] in ${storage.nbytes} bytes`);
  }
}

function requireFilled({ nbytes, pieces }: StorageDescriptor, fail: (text: string) => FormatError): void {
  const total = pieces.reduce((sum, piece) => sum + piece.nbytes, 0);
  if (total !== nbytes) throw fail(`its pieces have ${total} bytes, it has ${nbytes}`);
  const rectangles = pieces.filter((piece) => piece.rectangle).length;
  if (rectangles > 0) {
    if (rectangles !== pieces.length) throw fail("rectangles and plain pieces are mixed");
    requireTiling(pieces, fail);
    return;
  }
  let end = 0;
  for (const piece of inOrder(pieces)) {
    if (piece.at !== end) throw fail(`a piece begins at byte ${piece.at}, the one before it ends at ${end}`);
    end += piece.nbytes;
  }
}

function requireTiling(pieces: readonly StoragePiece[], fail: (text: string) => FormatError): void {
  const boxes = pieces.flatMap(({ rectangle }) => (rectangle ? [rectangle] : []));
  const shape = boxes[0]?.shape ?? [];
  if (boxes.some((box) => !sameShape(box.shape, shape))) throw fail("rectangles of different tensors");
  const tiled = tileExactly(boxes, shape);
  if (tiled === null) throw fail(`${boxes.length} rectangles differ on more axes than can be checked`);
  if (!tiled) throw fail("its rectangles overlap or leave holes");
}

function inOrder(pieces: readonly StoragePiece[]): readonly StoragePiece[] {
  return pieces.length < 2 ? pieces : pieces.filter(({ nbytes }) => nbytes > 0).sort((a, b) => a.at - b.at);
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((result, each) => result * each, 1);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function storageName({ index }: StorageContext): string {
  return `storage ${index}`;
}

function storageError(context: StorageContext, text: string): FormatError {
  const file = context.sources[0]?.name ?? "";
  return new FormatError("RANKCAST_STORAGE_LAYOUT", `${printable(file)}: ${storageName(context)}: ${text}`, {
    details: { file, storage: context.index },
  });
}
