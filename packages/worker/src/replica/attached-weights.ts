/** Weights as a replica has attached them, and how to take them again. */
import type { StateDict, Storage } from "@rankcast/core";
import { type Adoption, extraTensors, nativeMemory } from "@rankcast/core/runtime";
import type { ReplicaLoadOptions } from "./replica-host.ts";

/** See the module comment. Those of updates live as long as their set is kept. */
export interface AttachedWeights {
  readonly stateDict: StateDict;
  readonly options: ReplicaLoadOptions;
  /** Memory of the state dict. */
  readonly buffers: readonly ArrayBufferLike[];
  /** How to take them once more without planning; null when that needs a plan. */
  adoption: Adoption | null;
}

/** Weights that were just attached. */
export function attachedWeights(stateDict: StateDict, options: ReplicaLoadOptions): AttachedWeights {
  const buffers = new Set([...storagesOf(stateDict)].map(({ buffer }) => buffer));
  return { stateDict, options, buffers: [...buffers].filter((buffer) => buffer !== null), adoption: null };
}

/** Lets go of the pages of mappings, and of what was written to them; the next look reads them anew. */
export function forgetPages({ buffers }: AttachedWeights): void {
  const native = nativeMemory(false);
  for (const buffer of buffers) if (native?.isMapped(buffer)) native.forgetWrites(buffer);
}

/** What tensors of a state dict, and of what lies beside them, look at. */
export function storagesOf(stateDict: StateDict): Set<Storage> {
  const tensors = [...stateDict.values(), ...extraTensors(stateDict.extraState.values())];
  return new Set(tensors.map(({ storage }) => storage));
}
