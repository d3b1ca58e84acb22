/**
 * `torch.save` of a slice writes the whole storage behind it. A state dict that uses a small part of a storage is changed to describe only
 * that part, so that no other byte is read, held or broadcast.
 */
import { traitsOf } from "../tensor/dtype.ts";
import { elementSpan } from "../tensor/strides.ts";
import type { StorageExtent, StoragePiece } from "./checkpoint-tree.ts";
import { copyStorage } from "./copy-storage.ts";
import type { StateDictManifest, StorageDescriptor, TensorDescriptor } from "./manifest.ts";
import { StorageRef } from "./storage-ref.ts";

/** Smaller storages are not worth the loss: part of a record cannot be checked against the record's checksum. */
const TRIM_BYTES_MIN = 64 * 1024;
/** Trimmed when at most this share of the bytes is used. */
const USED_SHARE_MAX = 0.5;
/** Runs start and end on such a multiple: keeps the alignment of every dtype and of the file. */
const RUN_ALIGNMENT_BYTES = 64;
/** Runs closer than this stay one: a piece costs a read. */
const GAP_BYTES_MAX = 4096;

/**
 * `manifest` with storages cut down to what its tensors use, where that is at most half. Tensors that shared a storage still do.
 * The manifest must be validated. Storages that are compressed or assembled from rectangles stay whole.
 */
export function trimStorages(manifest: StateDictManifest): StateDictManifest {
  const plans = planTrims(manifest);
  if (plans.size === 0) return manifest;
  const saved = [...plans].reduce((sum, [index, plan]) => sum + (manifest.storages[index]?.nbytes ?? 0) - plan.nbytes, 0);
  const checked = [...plans.keys()].some((index) => manifest.storages[index]?.pieces.some(hasChecksum));
  return {
    ...manifest,
    storages: manifest.storages.map((storage, index) => trimStorage(storage, plans.get(index))),
    tensors: manifest.tensors.map((tensor) => trimTensor(tensor, plans.get(tensor.storage))),
    checksums: manifest.checksums === "present" && checked ? "partial" : manifest.checksums,
    warnings: [
      ...manifest.warnings,
      {
        code: "storages-trimmed",
        message: `${plans.size} storages are used in part; ${saved} bytes are left out${checked ? " and the parts are not checked against the checksums of the whole" : ""}`,
      },
    ],
  };
}

/** Bytes `[begin, end)` of the old storage that are kept at `at` of the new one. */
interface Run {
  readonly begin: number;
  end: number;
  at: number;
}

interface Trim {
  readonly nbytes: number;
  readonly runs: readonly Run[];
}

function planTrims({ tensors, storages }: StateDictManifest): Map<number, Trim> {
  const used = new Map<number, Run[]>();
  storages.forEach((storage, index) => {
    if (isTrimmable(storage)) used.set(index, []);
  });
  if (used.size === 0) return new Map();
  for (const tensor of tensors) {
    const ranges = used.get(tensor.storage);
    const nbytes = storages[tensor.storage]?.nbytes ?? 0;
    if (ranges && traitsOf(tensor.dtype).bits % 8 === 0) ranges.push(rangeOf(tensor, nbytes));
    else used.delete(tensor.storage);
  }
  const plans = new Map<number, Trim>();
  for (const [index, ranges] of used) {
    const trim = layOut(mergeRanges(ranges));
    if (trim.nbytes <= (storages[index]?.nbytes ?? 0) * USED_SHARE_MAX) plans.set(index, trim);
  }
  return plans;
}

function isTrimmable(storage: StorageDescriptor): boolean {
  if (storage.nbytes < TRIM_BYTES_MIN || storage.meta) return false;
  if (storage instanceof StorageRef && storage.runEnd !== null) return true;
  const { pieces } = storage;
  return (
    pieces.length > 0 && pieces.every(({ rectangle, extent }) => !rectangle && (extent.type === "inline" || extent.encoding === "stored"))
  );
}

function rangeOf(tensor: TensorDescriptor, nbytes: number): Run {
  const itemBytes = traitsOf(tensor.dtype).bits / 8;
  const span = elementSpan(tensor.shape, tensor.stride);
  if (span === 0) return { begin: 0, end: 0, at: 0 };
  const begin = tensor.storageOffset * itemBytes;
  const end = begin + span * itemBytes;
  return {
    begin: begin - (begin % RUN_ALIGNMENT_BYTES),
    end: Math.min(Math.ceil(end / RUN_ALIGNMENT_BYTES) * RUN_ALIGNMENT_BYTES, nbytes),
    at: 0,
  };
}

function mergeRanges(ranges: Run[]): Run[] {
  const runs: Run[] = [];
  for (const range of ranges.filter(({ begin, end }) => end > begin).sort((a, b) => a.begin - b.begin)) {
    const last = runs.at(-1);
    if (last && range.begin - last.end <= GAP_BYTES_MAX) last.end = Math.max(last.end, range.end);
    else runs.push(range);
  }
  return runs;
}

function layOut(runs: Run[]): Trim {
  let at = 0;
  for (const run of runs) {
    run.at = at;
    at += run.end - run.begin;
  }
  return { nbytes: at, runs };
}

function trimTensor(tensor: TensorDescriptor, trim: Trim | undefined): TensorDescriptor {
  if (!trim) return tensor;
  const itemBytes = traitsOf(tensor.dtype).bits / 8;
  const begin = tensor.storageOffset * itemBytes;
  const run = elementSpan(tensor.shape, tensor.stride) === 0 ? undefined : runAt(trim.runs, begin);
  return { ...tensor, storageOffset: run ? (begin - run.begin + run.at) / itemBytes : 0 };
}

/** The run that holds byte `at`; runs are in order. */
function runAt(runs: readonly Run[], at: number): Run | undefined {
  let low = 0;
  let high = runs.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((runs[middle]?.begin ?? 0) <= at) low = middle;
    else high = middle;
  }
  return runs[low];
}

function trimStorage(storage: StorageDescriptor, trim: Trim | undefined): StorageDescriptor {
  if (!trim) return storage;
  const pieces = [...storage.pieces].sort((a, b) => a.at - b.at);
  const kept: StoragePiece[] = [];
  let next = 0;
  for (const run of trim.runs) {
    while (endOf(pieces[next]) <= run.begin) next += 1;
    for (let each = next; each < pieces.length && (pieces[each]?.at ?? 0) < run.end; each += 1) {
      const piece = pieces[each];
      if (piece) kept.push(cutPiece(piece, run));
    }
  }
  return copyStorage(storage, { nbytes: trim.nbytes, pieces: kept });
}

function endOf(piece: StoragePiece | undefined): number {
  return piece ? piece.at + piece.nbytes : Number.POSITIVE_INFINITY;
}

function cutPiece(piece: StoragePiece, run: Run): StoragePiece {
  const begin = Math.max(piece.at, run.begin);
  const nbytes = Math.min(endOf(piece), run.end) - begin;
  const at = begin - run.begin + run.at;
  if (nbytes === piece.nbytes) return { ...piece, at };
  return { at, nbytes, extent: cutExtent(piece.extent, begin - piece.at, nbytes) };
}

function cutExtent(extent: StorageExtent, skip: number, nbytes: number): StorageExtent {
  if (extent.type === "inline") return { type: "inline", bytes: extent.bytes.subarray(skip, skip + nbytes) };
  return { ...extent, offset: extent.offset + skip, storedBytes: nbytes, crc32: null };
}

function hasChecksum({ extent }: StoragePiece): boolean {
  return extent.type === "range" && extent.crc32 !== null;
}
