/**
 * A load of some tiny tensors through the whole path, at start-up: code is compiled and the kernel door is opened before anybody waits, and a
 * thread that cannot load says so before it joins a barrier.
 */
import { DEFAULT_LIMITS, StateDict, Tensor } from "@rankcast/core";
import {
  createMemorySegment,
  encodeManifest,
  flattenPlacements,
  manifestFromStateDict,
  nativeMemory,
  type PlacedSegments,
  planLoad,
} from "@rankcast/core/runtime";
import { prepareDelivery } from "./delivery.ts";
import { ReplicaHost } from "./replica-host.ts";

/** More than one: loops and regular expressions are compiled when they run again. */
const TENSORS = 4;
/** Room for 63 tensors, aligned. */
const SEGMENT_BYTES = 4096;
const SHAPE = [2, 2] as const;

/** Weights in this process's memory. */
export interface RehearsedWeights {
  /** As the checkpoint of a model names them that was trained in DistributedDataParallel: `module.<name>`. */
  readonly names: readonly string[];
  readonly shape: readonly number[];
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
  /** Gives the memory back. */
  release(): void;
}

/** Makes up to 63 small float32 tensors. @throws {TensorError} RANKCAST_MEMORY_FULL. */
export function rehearsedWeights(count: number, noMmap: boolean): RehearsedWeights {
  const names = Array.from({ length: count }, (_, index) => `layer.${index}.weight`);
  const stateDict = new StateDict(names.map((name) => [`module.${name}`, Tensor.from(new Float32Array(SHAPE[0] * SHAPE[1]), SHAPE)]));
  const { manifest } = manifestFromStateDict(stateDict);
  const plan = planLoad(manifest, DEFAULT_LIMITS);
  const segment = createMemorySegment(SEGMENT_BYTES, nativeMemory(noMmap));
  const placed = flattenPlacements([segment.publish()], plan.placements);
  return { names, shape: SHAPE, manifest: encodeManifest(manifest), placed, release: () => segment.release() };
}

/** Loads into a throw-away replica. @throws {CheckpointError} when this thread cannot attach memory. */
export function rehearse(noMmap: boolean): void {
  const { manifest, placed, release } = rehearsedWeights(TENSORS, noMmap);
  try {
    const host = new ReplicaHost(null);
    host.prepare(prepareDelivery({ manifest, placed, limits: {} }, 1, noMmap), { strict: true, prefault: true });
    host.commit({ generation: 0, version: "", number: null });
  } finally {
    release();
  }
}
