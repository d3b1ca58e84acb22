/**
 * Generations of one layout on this node that follow one another: the updates of a job, or what one rank publishes. They lie in sets of segments
 * that are filled again and again, or in memory of this node's ranks. A set is filled only when no generation is in it and nothing reads it.
 */
import { randomUUID } from "node:crypto";
import { DistributionError } from "@rankcast/core";
import {
  applyDelta,
  type ByteRun,
  type ByteRuns,
  blocksOf,
  createRewritableSegment,
  type EncodedDelta,
  encodeDelta,
  type NativeMemory,
  noPages,
  openSegmentBytes,
  type PageMap,
  type SegmentBytes,
  type SegmentDescriptor,
} from "@rankcast/core/runtime";

/** Segments that hold a generation, now or later. */
export interface LineageSet {
  /** Names the memory, whatever it holds: consumers keep their mappings by it. */
  readonly id: string;
  readonly descriptors: readonly SegmentDescriptor[];
}

interface HeldSet extends LineageSet {
  /** A rank's memory: how it is read here. */
  readonly attached: readonly SegmentBytes[] | null;
  readonly runs: ByteRuns;
  /** Null: a rank's memory, which is never written here. */
  readonly buffers: readonly ArrayBufferLike[] | null;
  /** The generation whose bytes are there, whole, even when it is no generation of this node any more. */
  holds: number | null;
  /** Work that reads or writes it. */
  busy: number;
  release(): void;
}

/** How a generation differs from another one. */
interface Difference {
  readonly from: number;
  readonly pages: PageMap;
}

/** Differences that are remembered: a set that was filled longer ago is copied as a whole. */
const DIFFERENCES_MAX = 16;

/** See the module comment. */
export class Lineage {
  readonly #segmentBytes: readonly number[];
  readonly #native: NativeMemory;
  readonly #sets: HeldSet[] = [];
  readonly #generations = new Map<number, HeldSet>();
  /** Sets that are being filled, by the generation that comes. */
  readonly #filling = new Map<number, HeldSet>();
  readonly #differences = new Map<number, Difference>();
  /** Hears which memory is not used any more. */
  readonly #onReleased: (set: string) => void;
  #closed = false;

  constructor(segmentBytes: readonly number[], native: NativeMemory, onReleased: (set: string) => void) {
    this.#segmentBytes = segmentBytes;
    this.#native = native;
    this.#onReleased = onReleased;
  }

  /** Whether no generation is here or comes. */
  get isEmpty(): boolean {
    return this.#generations.size + this.#filling.size === 0;
  }

  /** A generation of a rank of this node for reading, until it is given back; null when it is not here. */
  borrow(generation: number): { readonly attached: readonly SegmentBytes[]; giveBack(): void } | null {
    const set = this.#generations.get(generation);
    if (!set?.attached) return null;
    set.busy += 1;
    return { attached: set.attached, giveBack: () => this.#giveBack([set]) };
  }

  /** A rank of this node has a generation in a set of its own. @throws {TensorError} RANKCAST_SEGMENT_GONE, RANKCAST_MEMORY_MAP. */
  hold(generation: number, id: string, descriptors: readonly SegmentDescriptor[]): LineageSet {
    const known = this.#sets.find((set) => set.id === id);
    const set = known ?? this.#attach(id, descriptors);
    // The rank has written over what it had there before.
    for (const [earlier, held] of this.#generations) if (held === set) this.#generations.delete(earlier);
    set.holds = generation;
    this.#generations.set(generation, set);
    return set;
  }

  /**
   * A set to fill with a generation that comes; `filled` says that it is whole.
   * @throws {TensorError} RANKCAST_MEMORY_FULL.
   */
  fill(generation: number): { readonly set: LineageSet; write(segment: number, bytes: Uint8Array, offset: number): void } {
    const set = this.#reserve(generation, null);
    set.holds = null;
    return {
      set,
      write: (segment, bytes, offset) => {
        const buffer = set.buffers?.[segment];
        if (buffer && this.#filling.get(generation) === set) new Uint8Array(buffer, offset, bytes.length).set(bytes);
      },
    };
  }

  /** The generation is whole. @throws {DistributionError} RANKCAST_CANCELLED when it was dropped meanwhile. */
  filled(generation: number): LineageSet {
    const set = this.#filling.get(generation);
    if (!set) throw new DistributionError("RANKCAST_CANCELLED", "the generation is not wanted any more", {});
    this.#filling.delete(generation);
    set.holds = generation;
    this.#generations.set(generation, set);
    return set;
  }

  /** What leads from one generation to the other, null when it would not be much smaller than the other itself or `base` is not here. */
  async encode(generation: number, base: number): Promise<EncodedDelta | null> {
    const [from, to] = [this.#generations.get(base), this.#generations.get(generation)];
    if (!from || !to || from === to) return null;
    const encoded = await this.#using([from, to], () => encodeDelta(from.runs, to.runs));
    if (encoded) this.#remember(generation, { from: base, pages: encoded.changed });
    return encoded;
  }

  /**
   * A generation from another one and their difference, in a set that held an earlier generation where there is one: only pages that changed since are touched.
   * @throws {DistributionError} RANKCAST_DELTA when `base` is not here or the difference is damaged; {TensorError} RANKCAST_MEMORY_FULL.
   */
  async apply(generation: number, base: number, delta: Uint8Array): Promise<LineageSet> {
    const from = this.#generations.get(base);
    if (!from) {
      const here = [...this.#generations.keys()].join(", ");
      throw new DistributionError("RANKCAST_DELTA", `a difference from generation ${base} came, this node has ${here || "none"}`);
    }
    const set = this.#reserve(generation, base);
    const stale = set.holds === null ? null : this.#pagesBetween(set.holds, base);
    set.holds = null;
    const pages = await this.#using([from, set], () => applyDelta(from.runs, delta, set.runs, stale));
    this.#remember(generation, { from: base, pages });
    return this.filled(generation);
  }

  /** Nothing but these generations is wanted any more. */
  retain(generations: readonly number[]): void {
    for (const each of [...this.#generations.keys(), ...this.#filling.keys()]) if (!generations.includes(each)) this.drop(each);
  }

  /** Nobody looks at the generation any more, or it does not come. */
  drop(generation: number): void {
    this.#generations.delete(generation);
    this.#filling.delete(generation);
  }

  /** Gives all memory back, as soon as nothing uses it. */
  close(): void {
    this.#closed = true;
    this.#generations.clear();
    this.#filling.clear();
    this.#releaseIdle();
  }

  async #using<T>(sets: readonly HeldSet[], work: () => Promise<T>): Promise<T> {
    for (const set of sets) set.busy += 1;
    try {
      return await work();
    } finally {
      this.#giveBack(sets);
    }
  }

  #giveBack(sets: readonly HeldSet[]): void {
    for (const set of sets) set.busy -= 1;
    if (this.#closed) this.#releaseIdle();
  }

  #releaseIdle(): void {
    for (const set of this.#sets.splice(0)) {
      if (set.busy > 0) this.#sets.push(set);
      else {
        set.release();
        this.#onReleased(set.id);
      }
    }
  }

  /** A free set, best one whose difference from `base` is known; a new one when all are used. */
  #reserve(generation: number, base: number | null): HeldSet {
    const used = new Set([...this.#generations.values(), ...this.#filling.values()]);
    const free = this.#sets.filter((set) => set.buffers !== null && set.busy === 0 && !used.has(set));
    const near = (set: HeldSet): boolean => base !== null && set.holds !== null && this.#pagesBetween(set.holds, base) !== null;
    const set = free.find(near) ?? free[0] ?? this.#create();
    this.#filling.set(generation, set);
    return set;
  }

  #create(): HeldSet {
    const segments = this.#segmentBytes.map((nbytes) => createRewritableSegment(Math.max(nbytes, 1), this.#native));
    const runs = segments.map(({ buffer }, index): ByteRun => {
      const length = this.#segmentBytes[index] ?? 0;
      return { length, subarray: (begin, end) => new Uint8Array(buffer, begin, end - begin) };
    });
    const set = {
      id: randomUUID(),
      descriptors: segments.map((segment) => segment.publish()),
      attached: null,
      runs: blocksOf(runs),
      buffers: segments.map(({ buffer }) => buffer),
      holds: null,
      busy: 0,
      release: () => {
        for (const segment of segments) segment.release();
      },
    };
    this.#sets.push(set);
    return set;
  }

  #attach(id: string, descriptors: readonly SegmentDescriptor[]): HeldSet {
    const attached = descriptors.map((descriptor) => openSegmentBytes(descriptor, this.#native));
    const runs = attached.map((bytes, index): ByteRun => {
      const length = descriptors[index]?.nbytes ?? 0;
      return { length, subarray: (begin, end) => bytes.view(begin, end - begin, () => new Uint8Array(0)) };
    });
    const release = (): void => {
      for (const bytes of attached) bytes.close();
    };
    const set: HeldSet = { id, descriptors, attached, runs: blocksOf(runs), buffers: null, holds: null, busy: 0, release };
    this.#sets.push(set);
    return set;
  }

  #remember(generation: number, difference: Difference): void {
    this.#differences.set(generation, difference);
    const [oldest] = this.#differences.keys();
    if (this.#differences.size > DIFFERENCES_MAX && oldest !== undefined) this.#differences.delete(oldest);
  }

  /** Pages in which two generations can differ; null when that is not known. */
  #pagesBetween(earlier: number, later: number): PageMap | null {
    const pages = noPages(this.#shape());
    let at = later;
    for (let steps = 0; at !== earlier; steps += 1) {
      const difference = this.#differences.get(at);
      if (!difference || steps > DIFFERENCES_MAX) return null;
      for (let index = 0; index < pages.length; index += 1) pages[index] = (pages[index] ?? 0) | (difference.pages[index] ?? 0);
      at = difference.from;
    }
    return pages;
  }

  #shape(): ByteRuns {
    const [first] = this.#sets;
    return first?.runs ?? blocksOf([]);
  }
}
