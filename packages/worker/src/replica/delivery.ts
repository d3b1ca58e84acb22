/** How weights reach a replica: the manifest's bytes and either segments to map or buffers that the process has read. */
import { compileLimits, Storage } from "@rankcast/core";
import {
  attachStorages,
  decodeManifest,
  nativeMemory,
  type PlacedSegments,
  type SegmentReuse,
  type StateDictManifest,
  unflattenPlacements,
} from "@rankcast/core/runtime";

/** Plain data; crosses threads by structured clone (shared buffers are shared, not copied). */
export interface Delivery {
  /** msgpack of the manifest, in shared memory so that threads do not copy it. */
  readonly manifest: Uint8Array<SharedArrayBuffer>;
  readonly placed: PlacedSegments;
  /** Overrides of limits that the load was given; a manifest is checked again wherever it is decoded. */
  readonly limits: Readonly<Record<string, number>>;
  /** Storages that this process has read, by index; null for those that each replica maps for itself. */
  readonly windows: readonly (StorageWindow | null)[] | null;
  /** Set when replicas may keep what they attach and plan for the next update of this layout. */
  readonly reuse: SegmentReuse | null;
}

/** A window of a buffer that all threads of the process see. */
export interface StorageWindow {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
  readonly nbytes: number;
  /** Whether the replica may use it as it is: it is the only reader, or the copy is meant to be shared. */
  readonly own: boolean;
}

/** What the coordinator published, as this rank received it. */
export interface PublishedWeights {
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * A delivery for `replicaCount` replicas of this process: segments are left for each replica to map, or read once here when the kernel
 * door is closed. Storages that all replicas share are read here in any case.
 * @throws {CheckpointError} as `attachStorages`.
 */
export function prepareDelivery(published: PublishedWeights, replicaCount: number, noMmap: boolean): Delivery {
  const { placed, limits } = published;
  const manifest = new Uint8Array(new SharedArrayBuffer(published.manifest.byteLength));
  manifest.set(published.manifest);
  const mapped = nativeMemory(noMmap) !== null;
  if (mapped && placed.shared.length === 0) return { manifest, placed, limits, windows: null, reuse: placed.reuse ?? null };
  const placements = unflattenPlacements(placed, decodeManifest(manifest, compileLimits(limits)));
  const shared = new Set(placed.shared);
  const here = placements.map((placement, index) => (mapped && !shared.has(index) ? null : placement));
  const { storages } = attachStorages(placed.segments, here, null);
  const windows = storages.map(({ buffer, byteOffset, nbytes }, index): StorageWindow | null =>
    here[index] === null ? null : { buffer: buffer as SharedArrayBuffer, byteOffset, nbytes, own: replicaCount === 1 || shared.has(index) },
  );
  // What this process has read are copies of one generation: the next one has to be read again.
  return { manifest, placed, limits, windows, reuse: null };
}

/**
 * The storages of one replica: copy-on-write views, or windows of the process's buffers (copied unless they are this replica's alone or meant
 * to be shared, because a write by one replica must not be seen by another).
 * @throws {CheckpointError} as `attachStorages`.
 */
export function receiveDelivery(delivery: Delivery, manifest: StateDictManifest): readonly Storage[] {
  const { windows, placed } = delivery;
  const placements = unflattenPlacements(placed, manifest);
  const left = windows === null ? placements : placements.map((placement, index) => (windows[index] ? null : placement));
  const mapped =
    windows !== null && left.every((placement) => placement === null) ? null : attachStorages(placed.segments, left, nativeMemory(false));
  const copies = new Map<SharedArrayBuffer, SharedArrayBuffer>();
  return placements.map((_, index) => {
    const window = windows?.[index];
    if (!window) return mapped?.storages[index] ?? new Storage(null, 0, manifest.storages[index]?.nbytes ?? 0);
    const { buffer, byteOffset, nbytes, own } = window;
    const copy = own ? buffer : (copies.get(buffer) ?? buffer.slice(0));
    if (!own) copies.set(buffer, copy);
    return new Storage(copy, byteOffset, nbytes);
  });
}
