/**
 * Checks stored checksums of complete segments on as many processors as the bytes are worth: on Node's thread pool, or in threads of their own where
 * there are more processors than the pool has threads and enough bytes to pay for starting them, or no function for the pool.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { SourceError } from "../errors/checkpoint-error.ts";
import { type ErrorRecord, fromErrorRecord } from "../errors/error-record.ts";
import { copyStorage } from "../manifest/copy-storage.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
import type { PoolChecksum } from "../memory/pool-checksum.ts";
import type { SegmentDescriptor } from "../memory/segment.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { addReadStats, newReadStats, type ReadStats } from "../source/counting-source.ts";
import { type VerifyShare, verifyShare } from "./verify-share.ts";

/** What a thread says, once. */
export type VerifyAnswer = { readonly stats: ReadStats } | { readonly error: ErrorRecord };

/** How to verify. */
export interface VerifySegmentsOptions {
  readonly native: NativeMemory | null;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that are worth a share of their own. */
  readonly shareBytes?: number;
  /** Whether Node's thread pool may be used. Default true. */
  readonly pool?: boolean;
}

/** What sharing the work out costs is less than the CRC-32 of this many bytes. */
const SHARE_BYTES_MIN = 128 * 2 ** 20;
/** Threads of Node's pool, unless UV_THREADPOOL_SIZE says otherwise. */
const POOL_THREADS = 4;
/** From here on threads of their own, of which each costs about 65 ms, are faster than the pool where eight or more processors are there. */
const POOL_BYTES_MAX = 2 ** 31;

/**
 * Of the storages that `placements` names, whose bytes are as the file has them. Without the pool this thread takes a share of its own, in turns with
 * whatever else it does. @throws {FormatError} class integrity; as `attachStorages`.
 */
export async function verifySegments(
  { storages, sources }: Pick<StateDictManifest, "storages" | "sources">,
  placements: LoadPlan["placements"],
  segments: readonly SegmentDescriptor[],
  options: VerifySegmentsOptions,
): Promise<ReadStats> {
  const { native, signal } = options;
  signal?.throwIfAborted();
  const { count, crc32Aside } = divide(placements, options);
  const names = sources.map(({ name }) => ({ name }));
  const shares = cutShares(placements, count).map((share): VerifyShare => ({ storages, placements: share, sources: names, segments }));
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  try {
    const checked = shares.map((share, index) =>
      index === 0 || crc32Aside ? verifyShare(share, native, { signal: signals, crc32Aside }) : inThread(share, signals),
    );
    const stats = await Promise.all(checked);
    return stats.reduce((sum, one) => addReadStats(sum, one), newReadStats());
  } finally {
    stop.abort();
  }
}

/** Into how many shares, and by what they are computed where that is not a thread each. */
function divide(
  placements: LoadPlan["placements"],
  { native, shareBytes = SHARE_BYTES_MIN, pool = true }: VerifySegmentsOptions,
): { readonly count: number; readonly crc32Aside: PoolChecksum | undefined } {
  // Where nothing is mapped each share would read what it shares with another.
  if (!native) return { count: 1, crc32Aside: undefined };
  const nbytes = placements.reduce((sum, placement) => sum + (placement?.nbytes ?? 0), 0);
  const count = Math.max(1, Math.min(availableParallelism(), Math.floor(nbytes / shareBytes)));
  // What this thread does alone needs no other.
  const pays = pool && count > 1 && (count <= POOL_THREADS || nbytes < POOL_BYTES_MAX);
  const crc32Aside = pays ? (native.poolChecksum() ?? undefined) : undefined;
  return { count: crc32Aside ? Math.min(count, POOL_THREADS) : count, crc32Aside };
}

/** Storages go to whoever has least, the largest first. */
function cutShares(placements: LoadPlan["placements"], count: number): LoadPlan["placements"][] {
  const shares = Array.from({ length: count }, () => ({
    nbytes: 0,
    placements: placements.map((): LoadPlan["placements"][number] => null),
  }));
  const order = placements.flatMap((placement, index) => (placement ? [{ placement, index }] : []));
  order.sort((a, b) => b.placement.nbytes - a.placement.nbytes || a.index - b.index);
  for (const { placement, index } of order) {
    const share = shares.reduce((least, one) => (one.nbytes < least.nbytes ? one : least));
    share.placements[index] = placement;
    share.nbytes += placement.nbytes;
  }
  return shares.map((share) => share.placements);
}

async function inThread(share: VerifyShare, signal: AbortSignal): Promise<ReadStats> {
  signal.throwIfAborted();
  const worker = new Worker(new URL("./verify-thread.js", import.meta.url), {
    workerData: { ...share, storages: share.storages.map((storage) => copyStorage(storage)) } satisfies VerifyShare,
    env: {},
    execArgv: [],
    name: "rankcast-verify",
  });
  const stop = (): void => void worker.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    const answer = await new Promise<VerifyAnswer>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", () => {
        const ended = new SourceError("RANKCAST_INTERNAL", "a thread that checks checksums ended without an answer", {});
        reject(signal.aborted ? signal.reason : ended);
      });
    });
    if ("error" in answer) throw fromErrorRecord(answer.error);
    return answer.stats;
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
