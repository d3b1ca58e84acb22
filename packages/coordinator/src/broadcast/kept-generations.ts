/** All generations that the filling thread keeps on this node, by lineage and layout. */
import type { NativeMemory, SegmentDescriptor } from "@rankcast/core/runtime";
import { Lineage } from "./lineage.ts";

/** Where a generation belongs. Plain data. */
export interface GenerationPlace {
  /** What follows one another: the updates of a job, or what one rank publishes. */
  readonly lineage: string;
  /** Equal when names, types, shapes and places are. */
  readonly layout: string;
  readonly generation: number;
}

/** Memory of a rank of this node. Plain data. */
export interface RankSet {
  /** Names the memory, whatever it holds. */
  readonly id: string;
  readonly descriptors: readonly SegmentDescriptor[];
}

/** See the module comment. A lineage without generations is forgotten, with its memory. */
export class KeptGenerations {
  readonly #native: NativeMemory;
  readonly #onReleased: (set: string) => void;
  /** By name, then by layout: more than one while a new layout is on its way. */
  readonly #lineages = new Map<string, Map<string, Lineage>>();

  constructor(native: NativeMemory, onReleased: (set: string) => void) {
    this.#native = native;
    this.#onReleased = onReleased;
  }

  /** The lineage of a generation that is here or comes; it is made when there is none. */
  open({ lineage, layout }: GenerationPlace, segmentBytes: readonly number[]): Lineage {
    const layouts = this.#lineages.get(lineage) ?? new Map<string, Lineage>();
    this.#lineages.set(lineage, layouts);
    const known = layouts.get(layout);
    if (known) return known;
    const made = new Lineage(segmentBytes, this.#native, this.#onReleased);
    layouts.set(layout, made);
    return made;
  }

  /** The lineage of a generation; null when nothing of it is here. */
  find({ lineage, layout }: GenerationPlace): Lineage | null {
    return this.#lineages.get(lineage)?.get(layout) ?? null;
  }

  /** Of a lineage nothing but these generations is wanted any more. */
  retain(lineage: string, generations: readonly number[]): void {
    this.#change(lineage, (each) => each.retain(generations));
  }

  /** One generation is not wanted any more, or does not come. */
  drop(lineage: string, generation: number): void {
    this.#change(lineage, (each) => each.drop(generation));
  }

  /** Gives everything back. */
  close(): void {
    for (const layouts of this.#lineages.values()) for (const each of layouts.values()) each.close();
    this.#lineages.clear();
  }

  #change(lineage: string, change: (each: Lineage) => void): void {
    const layouts = this.#lineages.get(lineage);
    for (const [layout, each] of layouts ?? []) {
      change(each);
      if (!each.isEmpty) continue;
      each.close();
      layouts?.delete(layout);
    }
    if (layouts?.size === 0) this.#lineages.delete(lineage);
  }
}
