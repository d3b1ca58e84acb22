/** Checks stored checksums of complete segments, in as many threads as there are processors and the bytes are worth. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { SourceError } from "../errors/checkpoint-error.ts";
import { type ErrorRecord, fromErrorRecord } from "../errors/error-record.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
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
  /** Bytes that are worth a thread. */
  readonly threadBytes?: number;
}

/** A thread's start costs about as much as the CRC-32 of this many bytes. */
const THREAD_BYTES_MIN = 128 * 2 ** 20;

/**
 * Of the storages that `placements` names, whose bytes are as the file has them. This thread takes a share of its own, in turns with whatever else it
 * does. @throws {FormatError} class integrity; as `attachStorages`.
 */
export async function verifySegments(
  { storages, sources }: Pick<StateDictManifest, "storages" | "sources">,
  placements: LoadPlan["placements"],
  segments: readonly SegmentDescriptor[],
  { native, signal, threadBytes = THREAD_BYTES_MIN }: VerifySegmentsOptions,
): Promise<ReadStats> {
  const names = sources.map(({ name }) => ({ name }));
  // Where nothing is mapped each thread would read what it shares with another.
  const count = native ? shareCount(placements, threadBytes) : 1;
  const shares = cutShares(placements, count).map((share): VerifyShare => ({ storages, placements: share, sources: names, segments }));
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  try {
    const checked = shares.map((share, index) =>
      index === 0 ? verifyShare(share, native, { signal: signals }) : inThread(share, signals),
    );
    const stats = await Promise.all(checked);
    return stats.reduce((sum, one) => addReadStats(sum, one), newReadStats());
  } finally {
    stop.abort();
  }
}

function shareCount(placements: LoadPlan["placements"], threadBytes: number): number {
  const nbytes = placements.reduce((sum, placement) => sum + (placement?.nbytes ?? 0), 0);
  return Math.max(1, Math.min(availableParallelism(), Math.floor(nbytes / threadBytes)));
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
    workerData: share,
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
