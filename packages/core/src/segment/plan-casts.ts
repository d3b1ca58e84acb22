/**
 * Casts that are made once per node, beside the stored bytes: replicas whose models want another floating point type adopt a view of the cast
 * instead of casting for themselves. Nothing depends on it: what is not cast here, a replica casts for itself, with the same values.
 */
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { SegmentDescriptor, StoragePlacement } from "../memory/segment.ts";
import { isConvertible } from "../tensor/convert.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { isContiguous } from "../tensor/strides.ts";

/** Casts as they cross processes. */
export interface PlacedCasts {
  readonly dtype: DType;
  readonly segments: readonly SegmentDescriptor[];
  /** Two numbers per storage of the manifest: index into `segments` (-1 when it is not cast) and byte offset. */
  readonly flat: readonly number[];
}

/** Storages to cast and where the results go. */
export interface CastPlan {
  readonly dtype: DType;
  /** Sizes of the segments. */
  readonly segmentBytes: readonly number[];
  readonly casts: readonly StorageCast[];
}

/** One storage, cast whole: element by element, at the same places. */
export interface StorageCast {
  readonly storage: number;
  readonly from: DType;
  readonly count: number;
  readonly target: StoragePlacement;
}

const ALIGNMENT_BYTES = 64;

/**
 * Plans the casts of every storage that holds row-major tensors of one other floating point type. Pure.
 * `limits.windowBytes` bounds a segment; a storage whose cast is larger is left out.
 */
export function planCasts(manifest: StateDictManifest, dtype: DType, limits: { readonly windowBytes: number }): CastPlan {
  const types = storageTypes(manifest);
  const casts: StorageCast[] = [];
  const segmentBytes: number[] = [];
  manifest.storages.forEach(({ nbytes, meta }, storage) => {
    const from = types[storage] ?? null;
    if (meta || from === null || from === dtype || !isFloat(from) || !isFloat(dtype) || !isConvertible(from, dtype)) return;
    const count = (nbytes * 8) / traitsOf(from).bits;
    const castBytes = bytesOf(dtype, count);
    if (!Number.isInteger(count) || count === 0 || castBytes > limits.windowBytes) return;
    const last = segmentBytes.length - 1;
    const begin = Math.ceil((segmentBytes[last] ?? 0) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    const fits = last >= 0 && begin + castBytes <= limits.windowBytes;
    const target = { segment: fits ? last : last + 1, byteOffset: fits ? begin : 0, nbytes: castBytes };
    segmentBytes[target.segment] = target.byteOffset + castBytes;
    casts.push({ storage, from, count, target });
  });
  return { dtype, segmentBytes, casts };
}

/** The wire form. */
export function placeCasts(plan: CastPlan, segments: readonly SegmentDescriptor[], storageCount: number): PlacedCasts {
  const flat = new Array<number>(storageCount * 2).fill(-1);
  for (const { storage, target } of plan.casts) {
    flat[2 * storage] = target.segment;
    flat[2 * storage + 1] = target.byteOffset;
  }
  return { dtype: plan.dtype, segments, flat };
}

/** Placements of the casts, one per storage of the manifest; null where there is none. */
export function castPlacements({ flat, dtype }: PlacedCasts, manifest: StateDictManifest): (StoragePlacement | null)[] {
  const types = storageTypes(manifest);
  return manifest.storages.map(({ nbytes }, index) => {
    const segment = flat[2 * index] ?? -1;
    const from = types[index];
    if (segment < 0 || !from) return null;
    return { segment, byteOffset: flat[2 * index + 1] ?? 0, nbytes: bytesOf(dtype, (nbytes * 8) / traitsOf(from).bits) };
  });
}

/** The type of all tensors of a storage; null when they differ, are not row-major or carry lazy flags. */
function storageTypes(manifest: StateDictManifest): (DType | null)[] {
  const types = new Array<DType | null | undefined>(manifest.storages.length);
  for (const { storage, dtype, shape, stride, conj, neg } of manifest.tensors) {
    const plain = !conj && !neg && isContiguous(shape, stride);
    types[storage] = plain && (types[storage] === undefined || types[storage] === dtype) ? dtype : null;
  }
  return types.map((type) => type ?? null);
}

function isFloat(dtype: DType): boolean {
  return traitsOf(dtype).kind === "float";
}
