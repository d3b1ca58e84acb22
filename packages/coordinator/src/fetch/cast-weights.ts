/**
 * Casts of fetched weights, made once for all replicas of the node, in threads, while ranks attach and plan. Ranks adopt them when their models
 * want that type; everything else goes as without.
 */
import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { compileLimits, DistributionError, type DType, type FetchOptions } from "@rankcast/core";
import {
  type CastPlaces,
  type CastRun,
  castRuns,
  cutCast,
  type ErrorRecord,
  fromErrorRecord,
  type NativeMemory,
  nativeMemory,
  type PlacedSegments,
  placeCasts,
  planCasts,
  readEnvironment,
  type StateDictManifest,
  unflattenPlacements,
} from "@rankcast/core/runtime";
import type { FetchWeights } from "./fetch-weights.ts";

/** What a rank asks for beside the bytes; not part of what ranks must agree on, because nothing depends on it. */
export interface CastWish {
  /** Type that the rank's replicas would have to make new tensors of. */
  readonly castTo?: DType;
}

/** What a thread is started with. */
export interface CastThreadStart {
  readonly runs: readonly CastRun[];
  readonly places: CastPlaces;
}

/** What a thread says when it is done. */
export interface CastThreadMessage {
  readonly error: ErrorRecord | null;
}

/** Small enough to share the work evenly and to give the event loop its turns, large enough to cost nothing beside the cast. */
const RUN_BYTES = 4 * 2 ** 20;
/** A thread's start costs about as much as this many bytes. */
const THREAD_BYTES_MIN = 64 * 2 ** 20;

/** A fetch that also makes the casts which are asked for. */
export function fetchAndCast(fetch: FetchWeights): FetchWeights {
  return async (weights, options, listener, signal, readers) => {
    const fetched = await fetch(weights, options, listener, signal, readers);
    const { castTo } = options as FetchOptions & CastWish;
    const made = castPlaced(fetched.manifest, fetched.placed, castTo, options.limits);
    if (!made) return fetched;
    return {
      ...fetched,
      placed: made.placed,
      async verify() {
        await Promise.all([fetched.verify(), made.done]);
      },
      release() {
        fetched.release();
        made.release();
      },
    };
  };
}

/** Casts of placed weights. */
export interface MadeCasts {
  /** The weights with their casts, which are being made. */
  readonly placed: PlacedSegments;
  /** Resolves when they are complete; commit nothing before. */
  readonly done: Promise<void>;
  /** Gives their memory back once every rank has attached. Safe to call twice. */
  release(): void;
}

/** Begins to make casts to `castTo`; null where none is wanted, nothing is mapped, or there is no room: replicas cast for themselves then. */
export function castPlaced(
  manifest: StateDictManifest,
  placed: PlacedSegments,
  castTo: DType | undefined,
  limits: FetchOptions["limits"],
): MadeCasts | null {
  const native = nativeMemory(readEnvironment().noMmap);
  if (castTo === undefined || native === null || process.platform !== "linux") return null;
  try {
    return beginCasts(manifest, placed, castTo, native, limits);
  } catch {
    return null;
  }
}

function beginCasts(
  manifest: StateDictManifest,
  placed: PlacedSegments,
  castTo: DType,
  native: NativeMemory,
  limits: FetchOptions["limits"],
): MadeCasts | null {
  const plan = planCasts(manifest, castTo, compileLimits(limits));
  if (plan.casts.length === 0) return null;
  const targets = createTargets(plan.segmentBytes, native);
  const placements = unflattenPlacements(placed, manifest);
  const runs = plan.casts.flatMap((cast) => {
    const source = placements[cast.storage];
    return source ? cutCast(cast, source, castTo, RUN_BYTES) : [];
  });
  const done = castAll(runs, { sources: placed.segments, targets }, native).then(() => {
    for (const { fd } of targets) native.seal(fd);
  });
  // Looked at later; until then a failure must not count as unhandled.
  done.catch(() => undefined);
  const segments = targets.map(({ fd, nbytes }) => ({ kind: "memfd" as const, path: `/proc/${process.pid}/fd/${fd}`, nbytes }));
  let open = true;
  return {
    placed: { ...placed, casts: placeCasts(plan, segments, manifest.storages.length) },
    done,
    release() {
      if (!open) return;
      open = false;
      // Threads open the files by number: not before they have ended.
      const close = (): void => {
        for (const { fd } of targets) native.close(fd);
      };
      done.then(close, close);
    },
  };
}

/** @throws {TensorError} RANKCAST_MEMORY_FULL; what was made is given back. */
function createTargets(sizes: readonly number[], native: NativeMemory): { fd: number; nbytes: number }[] {
  const targets: { fd: number; nbytes: number }[] = [];
  try {
    for (const nbytes of sizes) targets.push({ fd: native.createMemoryFile("rankcast", nbytes, true), nbytes });
    return targets;
  } catch (error) {
    for (const { fd } of targets) native.close(fd);
    throw error;
  }
}

async function castAll(runs: readonly CastRun[], places: CastPlaces, native: NativeMemory): Promise<void> {
  const storedBytes = runs.reduce((sum, { source }) => sum + source.nbytes, 0);
  const threads = Math.min(availableParallelism(), Math.floor(storedBytes / THREAD_BYTES_MIN));
  if (threads < 2) {
    await castRuns(runs, places, native, nextTurn);
    return;
  }
  // Neighbours in one thread: pages and read-ahead are its own.
  const share = Math.ceil(runs.length / threads);
  await Promise.all(Array.from({ length: threads }, (_, index) => castInThread(runs.slice(index * share, (index + 1) * share), places)));
}

function castInThread(runs: readonly CastRun[], places: CastPlaces): Promise<void> {
  const workerData: CastThreadStart = { runs, places };
  const worker = new Worker(new URL("./cast-thread.js", import.meta.url), { workerData, name: "rankcast-cast" });
  return new Promise((resolve, reject) => {
    let said: CastThreadMessage | null = null;
    worker.once("message", (message: CastThreadMessage) => {
      said = message;
    });
    worker.once("error", reject);
    worker.once("exit", (code) => {
      if (said === null) reject(new DistributionError("RANKCAST_INTERNAL", `a casting thread ended with code ${code}`, {}));
      else if (said.error) reject(fromErrorRecord(said.error));
      else resolve();
    });
  });
}
