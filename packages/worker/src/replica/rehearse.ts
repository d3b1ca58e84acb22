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
  planLoad,
} from "@rankcast/core/runtime";
import { prepareDelivery } from "./delivery.ts";
import { ReplicaHost } from "./replica-host.ts";

/** More than one: loops and regular expressions are compiled when they run again. */
const TENSORS = 4;
/** Room for all of them, aligned. */
const SEGMENT_BYTES = 4096;

/** Loads scalars into a throw-away replica. @throws {CheckpointError} when this thread cannot attach memory. */
export function rehearse(noMmap: boolean): void {
  const scalar = (_: unknown, index: number): [string, Tensor] => [`module.${index}.weight`, Tensor.from(new Float32Array([1]), [1])];
  const stateDict = new StateDict(Array.from({ length: TENSORS }, scalar));
  const { manifest } = manifestFromStateDict(stateDict);
  const plan = planLoad(manifest, DEFAULT_LIMITS);
  const segment = createMemorySegment(SEGMENT_BYTES, nativeMemory(noMmap));
  try {
    const placed = flattenPlacements([segment.publish()], plan.placements);
    const host = new ReplicaHost(null);
    host.prepare(prepareDelivery({ manifest: encodeManifest(manifest), placed, limits: {} }, 1, noMmap), { strict: true, prefault: true });
    host.commit({ generation: 0, version: "", number: null });
  } finally {
    segment.release();
  }
}
