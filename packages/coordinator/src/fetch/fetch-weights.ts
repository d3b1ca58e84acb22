/** Brings weights to this node once: resolve, download, decode, plan, build segments. What every round of kind load does first. */
import { compileLimits, type FetchOptions } from "@rankcast/core";
import {
  addReadStats,
  buildSegments,
  compareOnce,
  copyStorage,
  decodeManifest,
  encodeManifest,
  flattenPlacements,
  isAsItArrived,
  nativeMemory,
  newReadStats,
  type OpenedWeights,
  type OpenOptions,
  openWeights,
  type PlacedSegments,
  planSharedReads,
  type ReadStats,
  readEnvironment,
  type SegmentDescriptor,
  type StateDictManifest,
  type StorageArrivals,
  type StripePlan,
  verifySegments,
} from "@rankcast/core/runtime";

/** Weights on this node, ready to attach. */
export interface FetchedWeights {
  readonly manifest: StateDictManifest;
  readonly manifestBytes: Uint8Array;
  readonly placed: PlacedSegments;
  /** What the origin was asked for so far. */
  origin(): ReadStats;
  /** Every node has read a part and has everything: nothing is left to offer. */
  readonly striped?: true;
  /** What `onArriving` told of them was true to the end: copies that were made by it are right. */
  readonly asItArrived?: true;
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
  /** Which tensors are here, when some can be read before the download is complete. */
  onArriving?(arriving: StorageArrivals): void;
}

/** Fetches weights; replaced in tests. With `readers`, nodes of the job can share the reading; whether they do is the fetch's to decide. */
export type FetchWeights = (
  weights: string,
  options: FetchOptions,
  listener: FetchListener,
  signal: AbortSignal,
  readers?: StripeReaders,
) => Promise<FetchedWeights>;

/** Weights that every node reads a part of. */
export interface StripedWeights {
  readonly manifestBytes: Uint8Array;
  readonly flat: readonly number[];
  readonly shared: readonly number[];
  readonly stripes: StripePlan;
}

/** Memory of this node with everything in it. */
export interface CompleteSegments {
  readonly descriptors: readonly SegmentDescriptor[];
  release(): void;
}

/** The nodes of a job as readers. */
export interface StripeReaders {
  readonly nodeCount: number;
  /** Lets all nodes read their parts and exchange them. @throws {CheckpointError} when one of them cannot. */
  cast(weights: StripedWeights): Promise<CompleteSegments>;
}

/**
 * The real fetch.
 * @throws {CheckpointError} whatever source, format or memory refuse; nothing is left behind.
 */
export async function fetchWeights(
  weights: string,
  options: FetchOptions,
  listener: FetchListener,
  signal: AbortSignal,
  readers?: StripeReaders,
): Promise<FetchedWeights> {
  let arrivals: StorageArrivals | null = null;
  const onArriving = (arriving: StorageArrivals): void => {
    arrivals = arriving;
    listener.onArriving?.(arriving);
  };
  const open = (access: "download" | "stripes"): Promise<OpenedWeights> =>
    openWeights(weights, { ...openOptions(options, listener, signal), access, onArriving });
  const download = async (): Promise<FetchedWeights> => {
    const opened = await open("download");
    const built = await buildOpened(opened, options, listener, signal);
    const kept = arrivals !== null && isAsItArrived(arrivals, opened.manifest, opened.sources);
    return kept ? { ...built, asItArrived: true } : built;
  };
  if (!readers) return download();
  const opened = await open("stripes");
  if (opened.sources.every(({ file }) => file !== undefined)) return buildOpened(opened, options, listener, signal);
  const stripes = await planOrClose(opened, readers.nodeCount);
  if (stripes) return castStriped(opened, stripes, options, signal, readers);
  // Large enough, but not to be read in parts: headers are read once more.
  const asked = opened.origin();
  await opened.close();
  const whole = await download();
  return { ...whole, origin: () => addReadStats({ ...asked }, whole.origin()) };
}

/** The options of opening, with the listener told. */
export function openOptions(options: FetchOptions, listener: FetchListener, signal: AbortSignal): OpenOptions {
  return {
    ...options,
    signal,
    onPhase: (phase) => listener.onPhase(phase),
    onBytes: (bytes, totalBytes) => listener.onBytes(bytes, totalBytes),
    onManifest: (manifest) => listener.onManifest?.(manifest),
  };
}

async function planOrClose(opened: OpenedWeights, nodeCount: number): Promise<StripePlan | null> {
  try {
    return planSharedReads(opened, nodeCount);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function castStriped(
  opened: OpenedWeights,
  stripes: StripePlan,
  options: FetchOptions,
  signal: AbortSignal,
  readers: StripeReaders,
): Promise<FetchedWeights> {
  const { manifest, plan, shared, name, bytes, timings } = opened;
  const manifestBytes = encodeManifest(withoutFiles(manifest));
  const { flat } = flattenPlacements([], plan.placements, shared);
  try {
    const { descriptors, release } = await readers.cast({ manifestBytes, flat, shared, stripes });
    return {
      manifest,
      manifestBytes,
      placed: { segments: descriptors, flat, shared },
      striped: true,
      origin: () => opened.origin(),
      name,
      bytes,
      sha256: null,
      timings: { ...timings, broadcastMs: 0 },
      async verify() {
        // Whoever read a part of a piece could not compare it.
        if (options.verify ?? true) {
          await verifySegments(manifest, plan.placements, descriptors, { native: nativeMemory(readEnvironment().noMmap), signal });
        }
      },
      release,
    };
  } finally {
    await opened.close();
  }
}

async function buildOpened(
  opened: OpenedWeights,
  options: FetchOptions,
  listener: FetchListener,
  signal: AbortSignal,
): Promise<FetchedWeights> {
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
export function withoutFiles(manifest: StateDictManifest): StateDictManifest {
  return { ...manifest, sources: [], storages: manifest.storages.map((storage) => copyStorage(storage, { pieces: [] })) };
}
