/**
 * Weights of this rank's memory as segments that others can attach. Two sets are kept and used in turn: replicas may still look at the last
 * one while the next is written, never at the one before (law L4 per generation).
 */
import { compileLimits, type StateDict, Storage, Tensor } from "@rankcast/core";
import {
  copyInto,
  createMemorySegment,
  encodeManifest,
  flattenPlacements,
  type MemorySegment,
  manifestFromStateDict,
  nativeMemory,
  type PlacedSegments,
  planLoad,
} from "@rankcast/core/runtime";

/** A published state dict. */
export interface PublishedStateDict {
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
}

const SETS_KEPT = 2;

/** See the module comment. */
export class PublicationRing {
  readonly #noMmap: boolean;
  #sets: MemorySegment[][] = [];

  constructor(noMmap: boolean) {
    this.#noMmap = noMmap;
  }

  /**
   * Copies the state dict once into fresh segments and describes them.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room, RANKCAST_TENSOR_META for tensors without bytes.
   */
  publish(stateDict: StateDict): PublishedStateDict {
    const native = nativeMemory(this.#noMmap);
    const { manifest, tensors } = manifestFromStateDict(stateDict);
    const plan = planLoad(manifest, compileLimits());
    const segments = plan.segments.map((segment) => createMemorySegment(Math.max(segment.nbytes, 1), native));
    tensors.forEach((tensor, index) => {
      const placement = plan.placements[index];
      const segment = placement ? segments[placement.segment] : undefined;
      if (!placement || !segment) return;
      const storage = new Storage(segment.buffer, placement.byteOffset, placement.nbytes);
      copyInto(new Tensor({ dtype: tensor.dtype, shape: tensor.shape, storage }), tensor);
    });
    const descriptors = segments.map((segment) => segment.publish());
    this.#sets.push(segments);
    for (const old of this.#sets.splice(0, this.#sets.length - SETS_KEPT)) for (const segment of old) segment.release();
    return { manifest: encodeManifest(manifest), placed: flattenPlacements(descriptors, plan.placements) };
  }

  /** Gives all memory back. */
  release(): void {
    for (const set of this.#sets) for (const segment of set) segment.release();
    this.#sets = [];
  }
}
