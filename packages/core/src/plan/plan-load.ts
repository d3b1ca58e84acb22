/** Decides for every storage whether it can be used where it lies or must be brought into memory, and lays out the segments. */
import { TensorError } from "../errors/checkpoint-error.ts";
import type { Limits } from "../limits/limits.ts";
import type { StateDictManifest, StorageDescriptor } from "../manifest/manifest.ts";
import { MAP_ALIGNMENT_BYTES } from "../memory/native-memory.ts";
import type { StoragePlacement } from "../memory/segment.ts";
import { arrayOf } from "../tensor/typed-array.ts";
import type { LoadPlan, SegmentPlan } from "./load-plan.ts";

// Cache-line multiple; also what torch.save aligns to, so every dtype is aligned.
const PLACEMENT_ALIGNMENT_BYTES = 64;
// A Node 20 process aborts when it views a mapping of 4 GiB or more.
const VIEW_BYTES_MAX = 2 ** 32 - 2 * MAP_ALIGNMENT_BYTES;

/**
 * Plans a load. Pure: reads no clock, no file, no environment.
 * @throws {TensorError} RANKCAST_STORAGE_TOO_LARGE when one storage exceeds what a view can show.
 */
export function planLoad(manifest: StateDictManifest, limits: Pick<Limits, "windowBytes">): LoadPlan {
  const layout = new Layout(manifest.storages.length, Math.min(limits.windowBytes, VIEW_BYTES_MAX));
  const alignments = storageAlignments(manifest);
  const inPlace: { index: number; source: number; offset: number }[] = [];
  let mappedBytes = 0;
  let copiedBytes = 0;
  manifest.storages.forEach((storage, index) => {
    if (storage.meta) return;
    refuseTooLarge(storage);
    const at = inPlaceRange(manifest, storage, alignments[index] ?? 1);
    if (at && storage.nbytes > 0) {
      inPlace.push({ index, ...at });
      mappedBytes += storage.nbytes;
    } else {
      layout.addMemory(index, storage.nbytes);
      copiedBytes += storage.nbytes;
    }
  });
  inPlace.sort((a, b) => a.source - b.source || a.offset - b.offset);
  for (const { index, source, offset } of inPlace) layout.addFile(index, source, offset, manifest.storages[index]?.nbytes ?? 0);
  return { segments: layout.finish(), placements: layout.placements, mappedBytes, copiedBytes };
}

function refuseTooLarge(storage: StorageDescriptor): void {
  if (storage.nbytes <= VIEW_BYTES_MAX) return;
  throw new TensorError(
    "RANKCAST_STORAGE_TOO_LARGE",
    `a storage of ${storage.nbytes} bytes is larger than the ${VIEW_BYTES_MAX} bytes one view can show`,
    {
      details: { nbytes: storage.nbytes, allowed: VIEW_BYTES_MAX },
    },
  );
}

/** Smallest multiple each storage's first byte must have so that all its tensors can be shown as typed arrays. */
function storageAlignments(manifest: StateDictManifest): number[] {
  const alignments = new Array<number>(manifest.storages.length).fill(1);
  for (const tensor of manifest.tensors) {
    alignments[tensor.storage] = Math.max(alignments[tensor.storage] ?? 1, arrayOf(tensor.dtype).BYTES_PER_ELEMENT);
  }
  return alignments;
}

/** Where the storage lies in an immutable local file, byte for byte as tensors need it; null when it does not. */
function inPlaceRange(
  manifest: StateDictManifest,
  storage: StorageDescriptor,
  alignment: number,
): { source: number; offset: number } | null {
  const [piece, ...others] = storage.pieces;
  if (!piece || others.length > 0 || piece.at !== 0 || piece.nbytes !== storage.nbytes || piece.rectangle || storage.swapBytes !== 1)
    return null;
  const { extent } = piece;
  if (extent.type !== "range" || extent.encoding !== "stored" || extent.offset % alignment !== 0) return null;
  const source = manifest.sources[extent.source];
  return source?.immutable && source.path !== undefined ? { source: extent.source, offset: extent.offset } : null;
}

const roundUp = (value: number, multiple: number): number => Math.ceil(value / multiple) * multiple;
const roundDown = (value: number, multiple: number): number => value - (value % multiple);

/** Grows segments one storage at a time; a segment never exceeds the window unless one storage alone does. */
class Layout {
  readonly placements: (StoragePlacement | null)[];
  readonly #segments: ({ kind: "file"; source: number; offset: number; nbytes: number } | { kind: "memory"; nbytes: number })[] = [];
  readonly #windowBytes: number;
  #memory = -1;

  constructor(storageCount: number, windowBytes: number) {
    this.placements = new Array<StoragePlacement | null>(storageCount).fill(null);
    this.#windowBytes = windowBytes;
  }

  addMemory(index: number, nbytes: number): void {
    const current = this.#segments[this.#memory];
    const begin = current ? roundUp(current.nbytes, PLACEMENT_ALIGNMENT_BYTES) : 0;
    if (!current || (begin > 0 && begin + nbytes > this.#windowBytes)) {
      this.#memory = this.#segments.push({ kind: "memory", nbytes }) - 1;
      this.placements[index] = { segment: this.#memory, byteOffset: 0, nbytes };
    } else {
      current.nbytes = begin + nbytes;
      this.placements[index] = { segment: this.#memory, byteOffset: begin, nbytes };
    }
  }

  /** Called in order of source and offset. */
  addFile(index: number, source: number, offset: number, nbytes: number): void {
    const last = this.#segments.at(-1);
    if (last?.kind === "file" && last.source === source && offset + nbytes - last.offset <= this.#windowBytes) {
      last.nbytes = Math.max(last.nbytes, offset + nbytes - last.offset);
      this.placements[index] = { segment: this.#segments.length - 1, byteOffset: offset - last.offset, nbytes };
      return;
    }
    const begin = roundDown(offset, MAP_ALIGNMENT_BYTES);
    this.#segments.push({ kind: "file", source, offset: begin, nbytes: offset + nbytes - begin });
    this.placements[index] = { segment: this.#segments.length - 1, byteOffset: offset - begin, nbytes };
  }

  finish(): SegmentPlan[] {
    return this.#segments;
  }
}
