/** The first half of every load: from a weights string to a validated manifest and a plan. Reads no tensor bytes. */
import { readCheckpoint } from "../format/read-checkpoint.ts";
import { compileLimits, type Limits } from "../limits/limits.ts";
import { buildManifest } from "../manifest/build-manifest.ts";
import type { CheckpointTree, Warning } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import { planLoad } from "../plan/plan-load.ts";
import { resolveWeights } from "../scheme/resolve-weights.ts";
import type { ByteSource, ResolvedSource } from "../source/byte-source.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import type { FetchEvent } from "../source/fetch-event.ts";
import { StateDict } from "../tensor/state-dict.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { locateStorages } from "./locate-storages.ts";
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
  const stats = newReadStats();
  const notices: Warning[] = [];
  const startMs = performance.now();
  options.onPhase?.("resolving");
  for (const url of options.schemes ?? []) await import(url);
  const resolved = await resolve(weights, options, limits, stats, notices);
  const resolvedMs = performance.now();
  const source = resolved instanceof StateDict ? null : resolved;
  try {
    options.onPhase?.("decoding");
    const tree =
      resolved instanceof StateDict ? treeFromStateDict(resolved) : await readCheckpoint(resolved, { limits, signal: options.signal });
    const name = source?.name ?? weights;
    const described = buildManifest(tree, {
      limits,
      stateDict: options.scope !== "whole",
      select: options.select,
      subtree: options.subtree,
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

function resolve(
  weights: string,
  options: OpenOptions,
  limits: Limits,
  stats: ReadStats,
  notices: Warning[],
): Promise<ResolvedSource | StateDict> {
  let downloading = false;
  const onProgress = (event: FetchEvent): void => {
    if (event.type === "notice") notices.push({ code: event.code, message: event.message });
    if (event.type !== "progress") return;
    if (!downloading) options.onPhase?.("downloading");
    downloading = true;
    options.onBytes?.(event.bytesDone, event.bytesTotal);
  };
  const { signal, offline, immutable, cacheDir, sha256, headers, access } = options;
  return resolveWeights(weights, { limits, stats, onProgress, signal, offline, immutable, cacheDir, sha256, headers, access });
}
