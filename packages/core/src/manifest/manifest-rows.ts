/** Tensors, storages and sources as rows and back. */
import type { SourceVersion } from "../source/byte-source.ts";
import { isDType } from "../tensor/dtype.ts";
import { contiguousStrides, sameShape } from "../tensor/strides.ts";
import type { StorageExtent, StoragePiece } from "./checkpoint-tree.ts";
import type { SourceDescriptor, StorageDescriptor, TensorDescriptor } from "./manifest.ts";
import type { RowReader } from "./manifest-row.ts";
import { textRow } from "./manifest-text.ts";

const CONJ = 1;
const NEG = 2;
const REQUIRES_GRAD = 4;
const PARAMETER = 8;
const NUMPY = 16;
const EXTRA = 32;

/** Row-major strides, the usual ones, are left out. */
export function tensorRow(tensor: TensorDescriptor): unknown[] {
  const usual = sameShape(tensor.stride, contiguousStrides(tensor.shape));
  const flags =
    (tensor.conj ? CONJ : 0) |
    (tensor.neg ? NEG : 0) |
    (tensor.requiresGrad ? REQUIRES_GRAD : 0) |
    (tensor.origin === "parameter" ? PARAMETER : 0) |
    (tensor.origin === "numpy" ? NUMPY : 0) |
    (tensor.extra ? EXTRA : 0);
  const { name, dtype, shape, stride, storageOffset, storage } = tensor;
  return [textRow(name), dtype, shape, usual ? null : stride, storageOffset, storage, flags];
}

/** The inverse of `tensorRow`. */
export function readTensor(row: RowReader): TensorDescriptor {
  const name = row.text();
  const dtype = row.text();
  if (!isDType(dtype)) throw row.malformed("expected a dtype");
  const shape = row.counts();
  const stride = row.optional((each) => each.counts()) ?? contiguousStrides(shape);
  const storageOffset = row.count();
  const storage = row.count();
  const flags = row.count();
  return {
    name,
    dtype,
    shape,
    stride,
    storageOffset,
    storage,
    ...(flags & CONJ ? { conj: true } : {}),
    ...(flags & NEG ? { neg: true } : {}),
    ...(flags & REQUIRES_GRAD ? { requiresGrad: true } : {}),
    ...(flags & (PARAMETER | NUMPY) ? { origin: flags & PARAMETER ? "parameter" : "numpy" } : {}),
    ...(flags & EXTRA ? { extra: true } : {}),
  };
}

/** A storage and its pieces. */
export function storageRow({ nbytes, swapBytes, savedDevice, meta, pieces }: StorageDescriptor): unknown[] {
  return [nbytes, swapBytes, textRow(savedDevice), meta === true, pieces.map(pieceRow)];
}

/** The inverse of `storageRow`. */
export function readStorage(row: RowReader): StorageDescriptor {
  const nbytes = row.count();
  const swapBytes = row.oneOf([1, 2, 4, 8]);
  const savedDevice = row.text();
  const meta = row.flag();
  const pieces = row.rows(readPiece);
  return { nbytes, pieces, swapBytes, savedDevice, ...(meta ? { meta } : {}) };
}

function pieceRow({ at, nbytes, extent, rectangle }: StoragePiece): unknown[] {
  const box = rectangle ? [rectangle.shape, rectangle.offsets, rectangle.sizes, rectangle.itemBytes] : null;
  return [at, nbytes, extent.type, extentRow(extent), box];
}

function extentRow(extent: StorageExtent): unknown[] {
  if (extent.type === "inline") return [extent.bytes];
  const { source, offset, storedBytes, encoding, crc32, record } = extent;
  return [source, offset, storedBytes, encoding, crc32, record === undefined ? null : textRow(record)];
}

function readPiece(row: RowReader): StoragePiece {
  const at = row.count();
  const nbytes = row.count();
  const type = row.oneOf(["range", "inline"]);
  const extent = row.row(type === "inline" ? readInline : readRange);
  const rectangle = row.optional((field) =>
    field.row((box) => ({ shape: box.counts(), offsets: box.counts(), sizes: box.counts(), itemBytes: box.count() })),
  );
  return { at, nbytes, extent, ...(rectangle ? { rectangle } : {}) };
}

function readInline(row: RowReader): StorageExtent {
  return { type: "inline", bytes: row.bytes() };
}

function readRange(row: RowReader): StorageExtent {
  const source = row.count();
  const offset = row.count();
  const storedBytes = row.count();
  const encoding = row.oneOf(["stored", "deflate"]);
  const crc32 = row.optional((each) => each.count()) ?? null;
  const record = row.optional((each) => each.text());
  return { type: "range", source, offset, storedBytes, encoding, crc32, ...(record === undefined ? {} : { record }) };
}

/** A file and its version. */
export function sourceRow({ name, version, path, immutable }: SourceDescriptor): unknown[] {
  const { sizeBytes, etag, mtimeMs, inode, sha256 } = version;
  const text = (value: string | undefined): unknown => (value === undefined ? null : textRow(value));
  return [textRow(name), sizeBytes, text(etag), mtimeMs ?? null, inode ?? null, text(sha256), text(path), immutable === true];
}

/** The inverse of `sourceRow`. */
export function readSource(row: RowReader): SourceDescriptor {
  const name = row.text();
  const version = readVersion(row);
  const path = row.optional((each) => each.text());
  const immutable = row.flag();
  return { name, version, ...(path === undefined ? {} : { path }), ...(immutable ? { immutable } : {}) };
}

function readVersion(row: RowReader): SourceVersion {
  const sizeBytes = row.count();
  const etag = row.optional((each) => each.text());
  const mtimeMs = row.optional((each) => each.number());
  const inode = row.optional((each) => each.number());
  const sha256 = row.optional((each) => each.text());
  return {
    sizeBytes,
    ...(etag === undefined ? {} : { etag }),
    ...(mtimeMs === undefined ? {} : { mtimeMs }),
    ...(inode === undefined ? {} : { inode }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}
