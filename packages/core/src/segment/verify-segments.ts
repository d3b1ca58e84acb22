/**
 * Checks stored checksums of complete segments on as many processors as the bytes are worth: in threads that take portions together with this one, or,
 * where CRC-32 is Node's zlib's, on Node's own thread pool.
 */
import { availableParallelism } from "node:os";
import { crewFor, sharedChecksumCrew } from "../checksum/checksum-crew.ts";
import { prepareCrc32 } from "../checksum/crc32.ts";
import type { StateDictManifest, StorageDescriptor } from "../manifest/manifest.ts";
import { attachStorages } from "../memory/attach-storages.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
import type { PoolChecksum } from "../memory/pool-checksum.ts";
import type { SegmentDescriptor } from "../memory/segment.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { addReadStats, newReadStats, type ReadStats } from "../source/counting-source.ts";
import { requireChecksum } from "../transfer/piece-checksum.ts";
import type { StorageRead } from "../transfer/read-tasks.ts";
import { checkedPieces, verifyStorages } from "../transfer/verify-storages.ts";
import { verifyByReading } from "./verify-by-reading.ts";

/** Who computes: `crew`: threads and this one; `pool`: Node's thread pool, by zlib; `alone`: this thread, in turns with whatever else it does. */
export type VerifyWay = "crew" | "pool" | "alone";

/** How to verify. */
export interface VerifySegmentsOptions {
  /** Null where nothing can be mapped: what has a checksum is read then, and `way` means nothing. */
  readonly native: NativeMemory | null;
  readonly signal?: AbortSignal | undefined;
  /** Default: what is fastest for as many bytes. What cannot be had here is replaced. */
  readonly way?: VerifyWay;
}

/** Fewer this thread computes before others are awake. */
const CREW_BYTES_MIN = 32 * 2 ** 20;
/** What sharing the work out over the pool costs is less than the CRC-32 of this many bytes. */
const SHARE_BYTES_MIN = 128 * 2 ** 20;
/** Threads of Node's pool, unless UV_THREADPOOL_SIZE says otherwise. */
const POOL_THREADS = 4;
/** From here on threads of our own are faster than the pool where more processors are there than it has threads. */
const POOL_BYTES_MAX = 2 ** 31;

/**
 * Of the storages that `placements` names, whose bytes are as the file has them.
 * @throws {FormatError} class integrity; as `attachStorages`; the signal's reason.
 */
export async function verifySegments(
  { storages, sources }: Pick<StateDictManifest, "storages" | "sources">,
  placements: LoadPlan["placements"],
  segments: readonly SegmentDescriptor[],
  options: VerifySegmentsOptions,
): Promise<ReadStats> {
  const { native, signal } = options;
  signal?.throwIfAborted();
  if (native === null) return verifyByReading({ storages, sources }, placements, segments, signal);
  const checked = placements.map((placement, index) => (hasChecksum(storages[index]) ? placement : null));
  const attached = attachStorages(segments, checked, native).storages;
  try {
    const reads: StorageRead[] = [];
    placements.forEach((placement, index) => {
      const [storage, target] = [storages[index], attached[index]];
      if (placement && storage && target) reads.push({ storage, target });
    });
    const { way, crc32Aside } = chooseWay(reads, options);
    if (way === "crew") return await verifyWithCrew(reads, sources, signal);
    const shares = crc32Aside ? cutShares(reads) : [reads];
    return await verifyShares(shares, sources, { signal, crc32Aside });
  } finally {
    for (const buffer of new Set(attached.map((storage) => storage.buffer))) if (native.isMapped(buffer)) native.unmap(buffer);
  }
}

/** What has none is not even mapped. */
function hasChecksum(storage: StorageDescriptor | undefined): boolean {
  return storage?.pieces.some(({ extent }) => extent.type === "range" && extent.crc32 !== null) ?? false;
}

interface ChosenWay {
  readonly way: VerifyWay;
  readonly crc32Aside?: PoolChecksum | undefined;
}

function chooseWay(all: readonly StorageRead[], { native, way: wished }: VerifySegmentsOptions): ChosenWay {
  const reads = all.filter(({ target }) => target.buffer !== null);
  const nbytes = reads.reduce((sum, { target }) => sum + target.nbytes, 0);
  const way = wished ?? fastestWay(nbytes);
  // Memory that is not shared would be copied for another thread.
  if (way === "crew" && reads.every(({ target }) => target.buffer instanceof SharedArrayBuffer)) return { way };
  const crc32Aside = way === "alone" || !native ? undefined : (native.poolChecksum() ?? undefined);
  return { way: crc32Aside ? "pool" : "alone", crc32Aside };
}

function fastestWay(nbytes: number): VerifyWay {
  if (nbytes < CREW_BYTES_MIN) return "alone";
  if (prepareCrc32()) return "crew";
  if (nbytes < 2 * SHARE_BYTES_MIN) return "alone";
  return nbytes < POOL_BYTES_MAX || availableParallelism() <= POOL_THREADS ? "pool" : "crew";
}

async function verifyWithCrew(
  reads: readonly StorageRead[],
  sources: readonly { readonly name: string }[],
  signal: AbortSignal | undefined,
): Promise<ReadStats> {
  const stats = newReadStats();
  const pieces = [...checkedPieces(reads, sources, stats)];
  const runs = pieces.map(({ target, at, nbytes }) => ({
    buffer: target.buffer as SharedArrayBuffer,
    byteOffset: target.byteOffset + at,
    nbytes,
  }));
  for (const { nbytes } of runs) stats.bytesRead += nbytes;
  const crew = sharedChecksumCrew();
  crew.start(crewFor(stats.bytesRead));
  const found = await crew.compute(runs, signal);
  pieces.forEach(({ place }, index) => {
    requireChecksum(place, found[index] ?? 0);
  });
  return stats;
}

/** All at once; the first that fails stops the others, and is thrown when they have ended: nobody may look at memory that is unmapped. */
async function verifyShares(
  shares: readonly StorageRead[][],
  sources: readonly { readonly name: string }[],
  { signal, crc32Aside }: { readonly signal: AbortSignal | undefined; readonly crc32Aside: PoolChecksum | undefined },
): Promise<ReadStats> {
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const checking = shares.map((share) => verifyStorages(share, sources, { signal: signals, crc32Aside }));
  try {
    return (await Promise.all(checking)).reduce((sum, one) => addReadStats(sum, one), newReadStats());
  } finally {
    stop.abort();
    await Promise.allSettled(checking);
  }
}

/** Storages go to whoever has least, the largest first. */
function cutShares(reads: readonly StorageRead[]): StorageRead[][] {
  const nbytes = reads.reduce((sum, { target }) => sum + target.nbytes, 0);
  const count = Math.max(1, Math.min(availableParallelism(), POOL_THREADS, Math.floor(nbytes / SHARE_BYTES_MIN)));
  const shares = Array.from({ length: count }, () => ({ nbytes: 0, reads: [] as StorageRead[] }));
  for (const read of [...reads].sort((a, b) => b.target.nbytes - a.target.nbytes)) {
    const share = shares.reduce((least, one) => (one.nbytes < least.nbytes ? one : least));
    share.reads.push(read);
    share.nbytes += read.target.nbytes;
  }
  return shares.map((share) => share.reads);
}
