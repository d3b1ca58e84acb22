/**
 * Weights of this rank's memory as segments that others can attach. As long as names, types and shapes stay the same, two sets of segments
 * are written in turn: the set that replicas look at is never the one being written (law L4 per generation), and nothing is allocated,
 * planned or described again.
 */
import type { StateDict } from "@rankcast/core";
import { createMemorySegment, createRewritableSegment, nativeMemory, type PlacedSegments } from "@rankcast/core/runtime";
import { PublicationLayout } from "./publication-layout.ts";

/** A published state dict. */
export interface PublishedStateDict {
  /** Empty when every rank knows it from the update before. */
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
}

const SETS = 2;
const NO_BYTES = new Uint8Array(0);

/** See the module comment. */
export class PublicationRing {
  readonly #noMmap: boolean;
  readonly #keeps: boolean;
  #layout: PublicationLayout | null = null;
  /** The set that is written next; the other one is what replicas look at. */
  #next = 0;
  /** Sets of the layout that every rank has attached. */
  #kept = new Set<number>();
  /** What earlier layouts and portable publications left; given back once the next publication was accepted. */
  #retired: PublicationLayout[] = [];

  /** `keeps`: whether every consumer maps this node's memory, so that it pays to keep segments. */
  constructor(noMmap: boolean, keeps: boolean) {
    this.#noMmap = noMmap;
    this.#keeps = keeps;
  }

  /**
   * Copies the state dict once into shared memory and describes it. `lastLayout` is the layout of the last update that every rank took, null
   * when there is none or weights came from elsewhere since.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room, RANKCAST_TENSOR_META for tensors without bytes.
   */
  publish(stateDict: StateDict, lastLayout: string | null): PublishedStateDict {
    const native = nativeMemory(this.#noMmap);
    if (native === null || process.platform !== "linux" || !this.#keeps) return this.#publishOnce(stateDict);
    if (this.#layout?.fits(stateDict) !== true) {
      // Made before anything is given up: a state dict that is refused leaves the layout that replicas look at as it is.
      const next = new PublicationLayout(stateDict, (nbytes) => createRewritableSegment(nbytes, native));
      if (this.#layout) this.#retired.push(this.#layout);
      this.#layout = next;
      this.#kept = new Set();
    }
    const layout = this.#layout;
    const set = this.#next;
    const known = layout.id !== lastLayout ? "nothing" : this.#kept.has(set) ? "set" : "layout";
    const placed = layout.write(stateDict, set);
    return { manifest: known === "nothing" ? layout.manifest : NO_BYTES, placed: { ...placed, reuse: { layout: layout.id, set, known } } };
  }

  /** Every rank has taken the last publication: the next one may overwrite the weights before it. */
  accepted(layoutId: string | undefined): void {
    for (const each of this.#retired.splice(0, layoutId === undefined ? this.#retired.length - 1 : this.#retired.length)) each.release();
    if (this.#layout === null || this.#layout.id !== layoutId) return;
    this.#kept.add(this.#next);
    this.#next = (this.#next + 1) % SETS;
  }

  /** Gives all memory back. */
  release(): void {
    for (const each of this.#retired.splice(0)) each.release();
    this.#layout?.release();
    this.#layout = null;
  }

  /** Without mapping every rank reads for itself, and other nodes get the bytes anew: there is nothing to keep. */
  #publishOnce(stateDict: StateDict): PublishedStateDict {
    const native = nativeMemory(this.#noMmap);
    const layout = new PublicationLayout(stateDict, (nbytes) => createMemorySegment(nbytes, native));
    this.#retired.push(layout);
    return { manifest: layout.manifest, placed: layout.write(stateDict, 0) };
  }
}
