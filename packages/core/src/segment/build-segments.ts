/**
 * Turns a plan into segments: windows of immutable files are described as they are, everything else is brought into memory once.
 * Whoever builds them is their one writer (law L4); nobody else sees them before they are complete.
 */
import type { Limits } from "../limits/limits.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { createMemorySegment, type MemorySegment } from "../memory/memory-segment.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
import type { SegmentDescriptor } from "../memory/segment.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import { Storage } from "../tensor/storage.ts";
import { type StorageRead, transferStorages } from "../transfer/transfer-storages.ts";
import { verifySegments } from "./verify-segments.ts";

/** What building needs beside the plan. */
export interface BuildSegmentsOptions {
  readonly native: NativeMemory | null;
  readonly limits: Limits;
  /** Check stored checksums while the bytes are hot. */
  readonly verify: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Bytes brought into memory so far, of `plan.copiedBytes`. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** Complete segments and their owner's handle. */
export interface BuiltSegments {
  readonly descriptors: readonly SegmentDescriptor[];
  readonly stats: ReadStats;
  /**
   * Checks stored checksums of what was not copied. Separate from building, so that consumers can attach meanwhile; nothing may be
   * committed before it resolves. @throws {FormatError} class integrity.
   */
  verifyMapped(): Promise<ReadStats>;
  /** Gives owned memory back; consumers that have attached keep their views. Safe to call twice. */
  release(): void;
}

/**
 * Builds all segments of `plan`.
 * @throws {FormatError} integrity, truncated; {SourceError} when a source fails; {TensorError} RANKCAST_MEMORY_FULL. Nothing is left behind.
 */
export async function buildSegments(
  manifest: StateDictManifest,
  plan: LoadPlan,
  sources: readonly ByteSource[],
  options: BuildSegmentsOptions,
): Promise<BuiltSegments> {
  const owned = new Map<number, MemorySegment>();
  const release = (): void => {
    for (const segment of owned.values()) segment.release();
  };
  try {
    plan.segments.forEach((segment, index) => {
      if (segment.kind === "memory") owned.set(index, createMemorySegment(Math.max(segment.nbytes, 1), options.native));
    });
    const stats = await fillMemory(manifest, plan, sources, owned, options);
    const descriptors = plan.segments.map((segment, index) => describe(manifest, segment, owned.get(index)));
    return {
      descriptors,
      stats,
      verifyMapped: () => (options.verify ? verifyMapped(manifest, plan, descriptors, options) : Promise.resolve(newReadStats())),
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

function fillMemory(
  manifest: StateDictManifest,
  plan: LoadPlan,
  sources: readonly ByteSource[],
  owned: ReadonlyMap<number, MemorySegment>,
  options: BuildSegmentsOptions,
): Promise<ReadStats> {
  const reads: StorageRead[] = [];
  plan.placements.forEach((placement, index) => {
    const segment = placement ? owned.get(placement.segment) : undefined;
    const storage = manifest.storages[index];
    if (placement && segment && storage) {
      reads.push({ storage, target: new Storage(segment.buffer, placement.byteOffset, placement.nbytes) });
    }
  });
  const { limits, verify, signal, onProgress } = options;
  return transferStorages(reads, sources, { limits, verify, signal, onProgress });
}

function describe(
  manifest: StateDictManifest,
  segment: LoadPlan["segments"][number],
  memory: MemorySegment | undefined,
): SegmentDescriptor {
  if (segment.kind === "memory") {
    if (!memory) throw new RangeError("a memory segment was planned but not made");
    return memory.publish();
  }
  const source = manifest.sources[segment.source];
  if (source?.path === undefined) throw new RangeError(`segment of source ${segment.source}, which is no local file`);
  const { sizeBytes, mtimeMs = 0, inode = 0 } = source.version;
  return { kind: "file", path: source.path, offset: segment.offset, nbytes: segment.nbytes, sizeBytes, mtimeMs, inode };
}

function verifyMapped(
  manifest: StateDictManifest,
  plan: LoadPlan,
  descriptors: readonly SegmentDescriptor[],
  options: BuildSegmentsOptions,
): Promise<ReadStats> {
  const placements = plan.placements.map((placement) => (placement && descriptors[placement.segment]?.kind === "file" ? placement : null));
  return verifySegments(manifest, placements, descriptors, options);
}
