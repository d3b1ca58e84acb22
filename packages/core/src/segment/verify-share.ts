/** Checks stored checksums of a share of the storages, in one thread. */
import type { StorageDescriptor } from "../manifest/manifest.ts";
import { attachStorages } from "../memory/attach-storages.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
import type { SegmentDescriptor, StoragePlacement } from "../memory/segment.ts";
import type { ReadStats } from "../source/counting-source.ts";
import type { StorageRead } from "../transfer/read-tasks.ts";
import { type VerifyOptions, verifyStorages } from "../transfer/verify-storages.ts";

/** What is to be checked. Plain data. */
export interface VerifyShare {
  readonly storages: readonly StorageDescriptor[];
  /** One per storage; null for those that are not of this share. */
  readonly placements: readonly (StoragePlacement | null)[];
  /** Names of the files that pieces come from, for messages. */
  readonly sources: readonly { readonly name: string }[];
  readonly segments: readonly SegmentDescriptor[];
}

/** @throws {FormatError} class integrity; as `attachStorages`. */
export async function verifyShare(
  { storages, placements, sources, segments }: VerifyShare,
  native: NativeMemory | null,
  options: VerifyOptions,
): Promise<ReadStats> {
  const attached = attachStorages(segments, placements, native).storages;
  try {
    const reads: StorageRead[] = [];
    placements.forEach((placement, index) => {
      const [storage, target] = [storages[index], attached[index]];
      if (placement && storage && target) reads.push({ storage, target });
    });
    return await verifyStorages(reads, sources, options);
  } finally {
    for (const buffer of new Set(attached.map((storage) => storage.buffer))) if (native?.isMapped(buffer)) native.unmap(buffer);
  }
}
