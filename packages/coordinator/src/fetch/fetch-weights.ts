/** Brings weights to this node once: resolve, download, decode, plan, build segments. What every round of kind load does first. */
import { compileLimits, type FetchOptions } from "@rankcast/core";
import {
  buildSegments,
  compareOnce,
  decodeManifest,
  encodeManifest,
  flattenPlacements,
  nativeMemory,
  newReadStats,
  openWeights,
  type PlacedSegments,
  type ReadStats,
  readEnvironment,
  type StateDictManifest,
} from "@rankcast/core/runtime";

/** Weights on this node, ready to attach. */
export interface FetchedWeights {
  readonly manifest: StateDictManifest;
  readonly manifestBytes: Uint8Array;
  readonly placed: PlacedSegments;
  /** What the origin was asked for so far. */
  origin(): ReadStats;
  /** For reports; no secrets. */
  readonly name: string;
  /** Size of the checkpoint's files. */
  readonly bytes: number;
  readonly sha256: string | null;
  readonly timings: { readonly resolveMs: number; readonly fetchMs: number; readonly decodeMs: number; readonly broadcastMs: number };
  /** Resolves when stored checksums of mapped bytes were checked; commit nothing before. @throws {FormatError} class integrity. */
  verify(): Promise<void>;
  /** Gives memory back once every rank has attached. */
  release(): void;
}

/** What happens while fetching. */
export interface FetchListener {
  onPhase(phase: string): void;
  onBytes(bytes: number, totalBytes: number | null): void;
  /** What the checkpoint says, when that is known before its download is complete. */
  onManifest?(manifest: StateDictManifest): void;
}

/** Fetches weights; replaced in tests. */
export type FetchWeights = (
  weights: string,
  options: FetchOptions,
  listener: FetchListener,
  signal: AbortSignal,
) => Promise<FetchedWeights>;

/**
 * The real fetch.
 * @throws {CheckpointError} whatever source, format or memory refuse; nothing is left behind.
 */
export async function fetchWeights(
  weights: string,
  options: FetchOptions,
  listener: FetchListener,
  signal: AbortSignal,
): Promise<FetchedWeights> {
  const opened = await openWeights(weights, {
    ...options,
    signal,
    onPhase: (phase) => listener.onPhase(phase),
    onBytes: (bytes, totalBytes) => listener.onBytes(bytes, totalBytes),
    onManifest: (manifest) => listener.onManifest?.(manifest),
  });
  try {
    const { manifest, plan, sources, limits } = opened;
    const native = nativeMemory(readEnvironment().noMmap);
    const buildStart = performance.now();
    if (plan.copiedBytes > 0) listener.onPhase("reading");
    const built = await buildSegments(manifest, plan, sources, {
      native,
      limits,
      verify: options.verify ?? true,
      signal,
      onProgress: (bytes) => listener.onBytes(bytes, plan.copiedBytes),
    });
    return {
      manifest,
      manifestBytes: encodeManifest(withoutFiles(manifest)),
      placed: flattenPlacements(built.descriptors, plan.placements, opened.shared),
      origin: () => opened.origin(),
      name: opened.name,
      bytes: opened.bytes,
      sha256: opened.sha256,
      timings: { ...opened.timings, broadcastMs: performance.now() - buildStart },
      async verify() {
        try {
          await compareOnce({ manifest, plan, built, verify: options.verify ?? true, cacheDir: options.cacheDir });
        } finally {
          await opened.close();
        }
      },
      release: () => built.release(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Weights that a rank published from its memory: nothing to fetch, verify or own. `known` replaces a manifest that was left out. */
export function publishedWeights(
  manifestBytes: Uint8Array,
  placed: PlacedSegments,
  known: StateDictManifest | null = null,
): FetchedWeights {
  const manifest = known ?? decodeManifest(manifestBytes, compileLimits());
  return {
    manifest,
    manifestBytes,
    placed,
    origin: newReadStats,
    name: "",
    bytes: manifest.storages.reduce((sum, storage) => sum + storage.nbytes, 0),
    sha256: null,
    timings: { resolveMs: 0, fetchMs: 0, decodeMs: 0, broadcastMs: 0 },
    verify: async () => undefined,
    release: () => undefined,
  };
}

/** What ranks need: the bytes are in segments now, so where they came from stays here (and inline bytes do not travel twice). */
function withoutFiles(manifest: StateDictManifest): StateDictManifest {
  return { ...manifest, sources: [], storages: manifest.storages.map((storage) => ({ ...storage, pieces: [] })) };
}
