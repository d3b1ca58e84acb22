/** The first half of every load: from a weights string to a validated manifest and a plan. Reads no tensor bytes. */
import type { Limits } from "../limits/limits.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { planLoad } from "../plan/plan-load.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { ReadStats } from "../source/counting-source.ts";
import { beginWeights, type DescribedWeights, type OpenOptions } from "./begin-weights.ts";

/** What opening gave. Close it when no more bytes are read from its sources. */
export interface OpenedWeights extends DescribedWeights {
  /** For messages and reports; no secrets. */
  readonly name: string;
  /** How a load goes. @throws {TensorError} RANKCAST_STORAGE_TOO_LARGE when it cannot. */
  readonly plan: LoadPlan;
  readonly sources: readonly ByteSource[];
  readonly limits: Limits;
  /** Sum of the sizes of the checkpoint's files. */
  readonly bytes: number;
  /** SHA-256 of the entry file when it is known. */
  readonly sha256: string | null;
  /** `decodeMs` is what decoding took beside fetching: most of it overlaps with a download. */
  readonly timings: { readonly resolveMs: number; readonly fetchMs: number; readonly decodeMs: number };
  /** What the origin was asked for so far. */
  origin(): ReadStats;
  close(): Promise<void>;
}

/**
 * Resolves, downloads where needed, decodes (while the download runs, where the format allows it), plans.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} when there is no
 * state dict in it; {UsageError} for unknown limits. Nothing stays open.
 */
export async function openWeights(weights: string, options: OpenOptions = {}): Promise<OpenedWeights> {
  const startMs = performance.now();
  let fetchedMs = startMs;
  const onPhase = (phase: string): void => {
    if (phase === "decoding") fetchedMs = performance.now();
    options.onPhase?.(phase);
  };
  const begun = await beginWeights(weights, { ...options, onPhase });
  const { name, limits } = begun;
  try {
    const described = await begun.settle();
    const { sources } = described.tree;
    let plan: LoadPlan | undefined;
    const fetched = begun.origin().requests > 0;
    return {
      ...described,
      name,
      // Asked for by loads only: what cannot be loaded here (a tensor beyond 4 GiB on Node 20) can still be described and read in parts.
      get plan() {
        plan ??= planLoad(described.manifest, limits);
        return plan;
      },
      sources,
      limits,
      bytes: sources.reduce((sum, each) => sum + each.sizeBytes, 0),
      sha256: begun.sha256,
      timings: {
        resolveMs: fetched ? 0 : fetchedMs - startMs,
        fetchMs: fetched ? fetchedMs - startMs : 0,
        decodeMs: performance.now() - fetchedMs,
      },
      origin: () => begun.origin(),
      close: () => begun.close(),
    };
  } catch (error) {
    await begun.close();
    throw error;
  }
}
