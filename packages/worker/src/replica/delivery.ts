/** How weights reach a replica: the manifest's bytes and either segments to map or buffers that the process has read. */
import { compileLimits, Storage } from "@rankcast/core";
import {
  attachStorages,
  decodeManifest,
  nativeMemory,
  type PlacedSegments,
  type StateDictManifest,
  unflattenPlacements,
} from "@rankcast/core/internal";

/** Plain data; crosses threads by structured clone (shared buffers are shared, not copied). */
export interface Delivery {
  /** msgpack of the manifest, in shared memory so that threads do not copy it. */
  readonly manifest: Uint8Array<SharedArrayBuffer>;
  readonly placed: PlacedSegments;
  /** Overrides of limits that the load was given; a manifest is checked again wherever it is decoded. */
  readonly limits: Readonly<Record<string, number>>;
  /** Set when this process has read the segments: one window per storage. */
  readonly windows: readonly StorageWindow[] | null;
  /** Whether this replica is the only reader of `windows`, so that it may adopt them. */
  readonly exclusive: boolean;
}

/** A window of a shared buffer; `buffer` is null for meta storages. */
export interface StorageWindow {
  readonly buffer: SharedArrayBuffer | ArrayBuffer | null;
  readonly byteOffset: number;
  readonly nbytes: number;
}

/** What the coordinator published, as this rank received it. */
export interface PublishedWeights {
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * A delivery for `replicaCount` replicas of this process: segments are left for each replica to map, or read once here when the kernel
 * door is closed.
 * @throws {CheckpointError} as `attachStorages`.
 */
export function prepareDelivery(published: PublishedWeights, replicaCount: number, noMmap: boolean): Delivery {
  const { placed, limits } = published;
  const manifest = new Uint8Array(new SharedArrayBuffer(published.manifest.byteLength));
  manifest.set(published.manifest);
  if (nativeMemory(noMmap)) return { manifest, placed, limits, windows: null, exclusive: true };
  const described = decodeManifest(manifest, compileLimits(limits));
  const { storages } = attachStorages(placed.segments, unflattenPlacements(placed, described), null);
  const windows = storages.map(({ buffer, byteOffset, nbytes }) => ({ buffer: buffer as StorageWindow["buffer"], byteOffset, nbytes }));
  return { manifest, placed, limits, windows, exclusive: replicaCount === 1 };
}

/**
 * The storages of one replica, private to it: copy-on-write views, or the process's buffers (copied unless this replica is their only reader,
 * because a write by one replica must never be seen by another).
 * @throws {CheckpointError} as `attachStorages`.
 */
export function receiveDelivery(delivery: Delivery, manifest: StateDictManifest): readonly Storage[] {
  if (!delivery.windows)
    return attachStorages(delivery.placed.segments, unflattenPlacements(delivery.placed, manifest), nativeMemory(false)).storages;
  const copies = new Map<StorageWindow["buffer"], ArrayBufferLike>();
  return delivery.windows.map(({ buffer, byteOffset, nbytes }) => {
    if (buffer === null || delivery.exclusive) return new Storage(buffer, byteOffset, nbytes);
    let copy = copies.get(buffer);
    if (!copy) {
      copy = buffer.slice(0);
      copies.set(buffer, copy);
    }
    return new Storage(copy, byteOffset, nbytes);
  });
}
