/** The second half of a load in one process: segments, verification, tensors. */

import { attachStorages } from "../memory/attach-storages.ts";
import { nativeMemory } from "../memory/native-memory.ts";
import type { SegmentDescriptor } from "../memory/segment.ts";
import { buildSegments } from "../segment/build-segments.ts";
import { addReadStats, newReadStats, type ReadStats } from "../source/counting-source.ts";
import { bindStateDict } from "../state-dict/bind-state-dict.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import { compareOnce } from "./compare-once.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import type { OpenedWeights } from "./open-weights.ts";

/** Tensors of this process, and what it took. */
export interface LoadedState {
  readonly stateDict: StateDict;
  /** One per storage of the manifest. */
  readonly storages: readonly Storage[];
  readonly segments: readonly SegmentDescriptor[];
  readonly stats: ReadStats;
  /** Comparing stored checksums of what is mapped. */
  readonly verifyMs: number;
}

/**
 * Brings the bytes of `opened` into this process: verified, mapped where possible.
 * @throws {FormatError} integrity, truncated; {TensorError} when there is not enough memory.
 */
export async function loadState(
  opened: OpenedWeights,
  options: FetchOptions & FetchHooks & { readonly noMmap: boolean },
): Promise<LoadedState> {
  const { manifest, plan, sources, limits } = opened;
  const native = nativeMemory(options.noMmap);
  options.onPhase?.("reading");
  const built = await buildSegments(manifest, plan, sources, {
    native,
    limits,
    verify: options.verify ?? true,
    signal: options.signal,
    onProgress: (bytes) => options.onBytes?.(bytes, plan.copiedBytes),
  });
  try {
    const { storages } = attachStorages(built.descriptors, plan.placements, native);
    const verifyStart = performance.now();
    const stats = addReadStats(
      addReadStats(newReadStats(), built.stats),
      await compareOnce({ manifest, plan, built, verify: options.verify ?? true, cacheDir: options.cacheDir }),
    );
    const verifyMs = performance.now() - verifyStart;
    return { stateDict: bindStateDict(manifest, storages), storages, segments: built.descriptors, stats, verifyMs };
  } finally {
    // The views keep the memory; the descriptors were only the way to it.
    built.release();
  }
}
