/** The first half of every load: from a weights string to a validated manifest and a plan. Reads no tensor bytes. */
import { compileLimits, type Limits } from "../limits/limits.ts";
import { buildManifest } from "../manifest/build-manifest.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { planLoad } from "../plan/plan-load.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { ReadStats } from "../source/counting-source.ts";
import { StateDict } from "../tensor/state-dict.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { locateStorages } from "./locate-storages.ts";
import { resolveFiles } from "./resolve-files.ts";
import { treeFromStateDict } from "./tree-from-state-dict.ts";

/** What opening gave. Close it when no more bytes are read from its sources. */
export interface OpenedWeights {
  /** For messages and reports; no secrets. */
  readonly name: string;
  readonly tree: CheckpointTree;
  readonly manifest: StateDictManifest;
  /** Storages of which all replicas of a process use one writable copy. */
  readonly shared: readonly number[];
  readonly plan: LoadPlan;
  readonly sources: readonly ByteSource[];
  readonly limits: Limits;
  /** Sum of the sizes of the checkpoint's files. */
  readonly bytes: number;
  /** SHA-256 of the entry file when it is known. */
  readonly sha256: string | null;
  readonly timings: { readonly resolveMs: number; readonly fetchMs: number; readonly decodeMs: number };
  /** What the origin was asked for so far. */
  origin(): ReadStats;
  close(): Promise<void>;
}

/** Which part of the checkpoint the manifest describes, and how remote bytes are reached. */
export interface OpenOptions extends FetchOptions, FetchHooks {
  /** `selected` (default): the state dict a load would take; `whole`: every tensor, named from the root. */
  readonly scope?: "selected" | "whole";
  /** `download` (default) into the cache; `ranges` reads only what is asked for where the server can. */
  readonly access?: "download" | "ranges";
}

/**
 * Resolves, downloads where needed, decodes, plans.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} when there is no
 * state dict in it; {UsageError} for unknown limits. Nothing stays open.
 */
export async function openWeights(weights: string, options: OpenOptions = {}): Promise<OpenedWeights> {
  const limits = compileLimits(options.limits);
  const startMs = performance.now();
  const { source, stateDict, stats, notices } = await resolveFiles(weights, options);
  const resolvedMs = performance.now();
  try {
    options.onPhase?.("decoding");
    // Readers and schemes are half of this package's code; a rank that only attaches what its coordinator has read never needs them.
    const { readCheckpoint } = await import("../format/read-checkpoint.ts");
    const tree = source
      ? await readCheckpoint(source, { limits, signal: options.signal })
      : treeFromStateDict(stateDict ?? new StateDict());
    const name = source?.name ?? weights;
    const described = buildManifest(tree, {
      limits,
      stateDict: options.scope !== "whole",
      select: typeof options.select === "function" ? options.select(tree.root) : options.select,
      // A scheme may stand for a part of its files (`mmcls://` for the backbone); what the caller says comes first.
      subtree: options.subtree ?? (options.scope === "whole" ? undefined : source?.subtree),
      file: name,
    });
    const { manifest, shared } = locateStorages({ ...described, warnings: [...notices, ...described.warnings] }, options.mapLocation);
    const plan = planLoad(manifest, limits);
    const waitedMs = resolvedMs - startMs;
    const fetched = stats.requests > 0;
    return {
      name,
      tree,
      manifest,
      shared,
      plan,
      sources: tree.sources,
      limits,
      bytes: tree.sources.reduce((sum, each) => sum + each.sizeBytes, 0),
      sha256: source?.entry?.version.sha256 ?? null,
      timings: { resolveMs: fetched ? 0 : waitedMs, fetchMs: fetched ? waitedMs : 0, decodeMs: performance.now() - resolvedMs },
      origin: () => ({ ...stats }),
      close: async () => source?.close(),
    };
  } catch (error) {
    await source?.close();
    throw error;
  }
}
