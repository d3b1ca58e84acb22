/**
 * The first half of a load while its files may still be downloading: the checkpoint is decoded as soon as the bytes that describe it are here.
 *
 *     resolve ─► describe (waits for the bytes it needs) ─► settle: all files complete and verified, the description proved or made again
 */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { compileLimits, type Limits } from "../limits/limits.ts";
import { buildManifest } from "../manifest/build-manifest.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { type CompiledMapLocation, compileMapLocation } from "../map-location/compile-map-location.ts";
import type { Access } from "../scheme/resolve-context.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import type { ReadStats } from "../source/counting-source.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { completeFiles, watchArrivals } from "./complete-files.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { locateStorages } from "./locate-storages.ts";
import { selectedPath } from "./require-fetch-options.ts";
import { type ResolvedFiles, resolveFiles } from "./resolve-files.ts";
import { type StorageArrivals, storageArrivals } from "./storage-arrivals.ts";
import { treeFromStateDict } from "./tree-from-state-dict.ts";

/** Which part of the checkpoint the manifest describes, and how remote bytes are reached. */
export interface OpenOptions extends FetchOptions, FetchHooks {
  /** `selected` (default): the state dict a load would take; `whole`: every tensor, named from the root. */
  readonly scope?: "selected" | "whole";
  /** `download` (default) into the cache; `ranges` reads only what is asked for where the server can; for the others see `Access`. */
  readonly access?: Access;
  /** What the checkpoint says, when that is known before its download is complete. It is proved before the load goes on. */
  readonly onManifest?: ((manifest: StateDictManifest) => void) | undefined;
  /** Told behind `onManifest` when tensors can be read before their files are complete. */
  readonly onArriving?: ((arriving: StorageArrivals) => void) | undefined;
}

/** What a checkpoint says. */
export interface DescribedWeights {
  readonly tree: CheckpointTree;
  readonly manifest: StateDictManifest;
  /** Storages of which all replicas of a process use one writable copy. */
  readonly shared: readonly number[];
  /** The part of the state dict that is meant: what the caller said, else what the scheme stands for. */
  readonly subtree: string | undefined;
}

/** Weights of which everything is known that can be known before their files are complete. */
export interface BegunWeights {
  /** For messages and reports; no secrets. */
  readonly name: string;
  readonly limits: Limits;
  /** What the beginning of the files says; null when nothing can be said before they are complete. */
  readonly early: DescribedWeights | null;
  /** Whether files are still arriving. */
  readonly arriving: boolean;
  readonly sha256: string | null;
  /** What the origin was asked for so far. */
  origin(): ReadStats;
  /** Waits until all files are complete and verified. @throws as `beginWeights`; {SourceError} when the bytes cannot be had. */
  settle(): Promise<DescribedWeights>;
  close(): Promise<void>;
}

/**
 * Resolves, and decodes what is here.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} when there is no
 * state dict in it; {UsageError} for unknown limits. Nothing stays open.
 */
export async function beginWeights(weights: string, options: OpenOptions = {}): Promise<BegunWeights> {
  const limits = compileLimits(options.limits);
  // Before anything is asked for: a wrong rule must not be found after a download.
  const mapLocation = compileMapLocation(options.mapLocation);
  const files = await resolveFiles(weights, { ...options, access: accessOf(options, mapLocation), arriving: true });
  const name = files.source?.name ?? weights;
  const { source, arrivals } = files.source ? watchArrivals(files.source) : { source: null, arrivals: new Set<never>() };
  const describe = (from: ResolvedSource | null, early: boolean): Promise<DescribedWeights> =>
    describeFiles(from, { name, limits, files, options, mapLocation, early });
  const close = async (): Promise<void> => source?.close();
  try {
    if (arrivals.size === 0) options.onPhase?.("decoding");
    const early = await describe(source, true).catch((error: unknown) => {
      // Damage on the way is found by the download's own checks, which say so better; a checkpoint that is refused is refused again.
      if (arrivals.size === 0 || !(error instanceof CheckpointError)) throw error;
      return null;
    });
    if (early !== null && arrivals.size > 0) tellEarly(early, options);
    return {
      name,
      limits,
      early,
      arriving: arrivals.size > 0,
      get sha256() {
        return source?.entry?.version.sha256 ?? null;
      },
      origin: () => ({ ...files.stats }),
      close,
      async settle() {
        if (arrivals.size === 0 && early !== null) return early;
        await Promise.all([...arrivals].map(({ complete }) => complete));
        options.onPhase?.("decoding");
        const restarted = [...arrivals].some((each) => each.restarted);
        const tree = early === null || restarted ? null : await confirmed(early.tree);
        // The same tree again: paths of files, checksums and what decides about them are known only now.
        if (tree !== null) return describeTree(tree, { name, limits, files, options, mapLocation });
        return describe(source && (await completeFiles(source)), false);
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function tellEarly({ manifest, tree }: DescribedWeights, { onManifest, onArriving }: OpenOptions): void {
  onManifest?.(manifest);
  const arriving = onArriving ? storageArrivals(manifest, tree.sources) : null;
  if (arriving !== null) onArriving?.(arriving);
}

/** Where no tensor byte is wanted, no more of a remote file is fetched than its headers; by several nodes, each for itself. */
function accessOf({ access = "download" }: OpenOptions, { headersOnly }: CompiledMapLocation): Access {
  return headersOnly && access !== "stripes-only" ? "ranges" : access;
}

/** The tree as the complete files prove it; null when they must be read again. */
async function confirmed(tree: CheckpointTree): Promise<CheckpointTree | null> {
  return tree.arriving ? tree.arriving.confirm() : tree;
}

interface Described {
  readonly name: string;
  readonly limits: Limits;
  readonly files: ResolvedFiles;
  readonly options: OpenOptions;
  readonly mapLocation: CompiledMapLocation;
}

async function describeFiles(source: ResolvedSource | null, described: Described & { readonly early: boolean }): Promise<DescribedWeights> {
  const { limits, early, options, files } = described;
  // Readers and schemes are half of this package's code; a rank that only attaches what its coordinator has read never needs them.
  const { readCheckpoint } = await import("../format/read-checkpoint.ts");
  const tree = source
    ? await readCheckpoint(source, { limits, signal: options.signal, early })
    : treeFromStateDict(files.stateDict ?? new StateDict());
  return describeTree(tree, described);
}

function describeTree(tree: CheckpointTree, { name, limits, files, options, mapLocation }: Described): DescribedWeights {
  // A scheme may stand for a part of its files (`mmcls://` for the backbone); what the caller says comes first.
  const subtree = options.subtree ?? files.source?.subtree;
  const described = buildManifest(tree, {
    limits,
    stateDict: options.scope !== "whole",
    select: selectedPath(options.select, tree.root),
    subtree: options.scope === "whole" ? options.subtree : subtree,
    file: name,
  });
  const { manifest, shared } = locateStorages({ ...described, warnings: [...files.notices, ...described.warnings] }, mapLocation);
  return { tree, manifest, shared, subtree };
}
