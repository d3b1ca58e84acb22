/**
 * The publisher's side of live weights: copies a state dict into a set of segments that nobody looks at and offers it. Subscribers never make it
 * wait while a set is free; sets are made as they are needed, up to a bound. The sets of one layout are written again, those of a layout before are only
 * given back: subscribers that still look at them keep their mappings.
 */
import { DistributionError, type StateDict } from "@rankcast/core";
import { createMemorySegment, createRewritableSegment, type MemorySegment, nativeMemory, type TensorCopier } from "@rankcast/core/runtime";
import type { RankSession } from "../session/rank-session.ts";
import { PublicationLayout } from "./publication-layout.ts";

/**
 * Sets per layout. Each `latest` subscription refers to three versions at most, so this is reached only by many slow subscribers, or by
 * one that wants every version.
 */
export const PUBLICATION_SETS_MAX = 16;

interface OpenOffer {
  readonly layout: PublicationLayout;
  readonly set: number;
}

const NO_BYTES = new Uint8Array(0);

/** See the module comment. */
export class LivePublisher {
  readonly #session: RankSession;
  readonly #noMmap: boolean;
  readonly #copier: TensorCopier;
  /** Offers that somebody may look at, by number. */
  readonly #open = new Map<number, OpenOffer>();
  #layout: PublicationLayout | null = null;
  #manifestSent = false;
  #count = 0;
  #whenFreed: (() => void)[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  /** Why no set will be free any more. */
  #end: Error | null = null;

  constructor(session: RankSession, noMmap: boolean, copier: TensorCopier) {
    this.#session = session;
    this.#noMmap = noMmap;
    this.#copier = copier;
    session.hearOffers({
      onFreed: (offer) => this.#free(offer),
      onFailed: (error) => {
        this.#end ??= error;
        this.#wake();
      },
    });
  }

  /**
   * Copies and offers. With a set free the copy is made before this returns; else it waits, and the state dict must not change meanwhile.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when there is no room; {DistributionError} RANKCAST_CLOSED when the group closes meanwhile;
   * {CheckpointError} the job's failure: nobody would take what is published then, and no set would be free again.
   */
  publish(stateDict: StateDict, version: string): Promise<void> {
    if (this.#end) return Promise.reject(this.#end);
    // Nothing waits and a set is free: copied here and now, so that the caller may go on training even without awaiting.
    if (this.#whenFreed.length === 0 && this.#freeSet(stateDict) !== null) {
      try {
        this.#offer(stateDict, version);
        return Promise.resolve();
      } catch (error) {
        return Promise.reject(error);
      }
    }
    const published = this.#tail.then(async () => {
      while (this.#freeSet(stateDict) === null) await this.#nextFreed();
      this.#offer(stateDict, version);
    });
    this.#tail = published.catch(() => undefined);
    return published;
  }

  /** Gives all memory back; who has attached keeps its mappings. */
  close(): void {
    this.#end ??= new DistributionError("RANKCAST_CLOSED", "the group is closed", {});
    for (const { layout } of this.#open.values()) layout.release();
    this.#open.clear();
    this.#layout?.release();
    this.#wake();
  }

  #nextFreed(): Promise<void> {
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#whenFreed.push(() => (this.#end ? reject(this.#end) : resolve()));
    });
  }

  /** The set to write, null when all are looked at. */
  #freeSet(stateDict: StateDict): number | null {
    if (this.#layout === null || !this.#layout.fits(stateDict)) return 0;
    const busy = new Set([...this.#open.values()].filter(({ layout }) => layout === this.#layout).map(({ set }) => set));
    for (let set = 0; set < PUBLICATION_SETS_MAX; set += 1) if (!busy.has(set)) return set;
    return null;
  }

  #offer(stateDict: StateDict, version: string): void {
    const native = nativeMemory(this.#noMmap);
    const reusable = native !== null && process.platform === "linux";
    const set = this.#freeSet(stateDict) ?? 0;
    if (!reusable || this.#layout === null || !this.#layout.fits(stateDict)) this.#changeLayout(stateDict);
    const layout = this.#layout as PublicationLayout;
    const { placed, setId } = layout.write(stateDict, set);
    this.#count += 1;
    const offer = this.#count;
    this.#open.set(offer, { layout, set });
    this.#session.offer({
      offer,
      version,
      manifest: this.#manifestSent ? NO_BYTES : layout.manifest,
      placement: reusable ? { ...placed, reuse: { layout: layout.id, set: setId, known: "nothing" } } : placed,
    });
    this.#manifestSent = reusable;
  }

  #changeLayout(stateDict: StateDict): void {
    const before = this.#layout;
    const native = nativeMemory(this.#noMmap);
    const rewritable = native !== null && process.platform === "linux";
    const createSegment = (nbytes: number): MemorySegment =>
      rewritable ? createRewritableSegment(nbytes, native) : createMemorySegment(nbytes, null);
    this.#layout = new PublicationLayout(stateDict, createSegment, this.#copier);
    this.#manifestSent = false;
    if (before && ![...this.#open.values()].some(({ layout }) => layout === before)) before.release();
  }

  #free(offer: number): void {
    const freed = this.#open.get(offer);
    this.#open.delete(offer);
    if (freed && freed.layout !== this.#layout && ![...this.#open.values()].some(({ layout }) => layout === freed.layout))
      freed.layout.release();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#whenFreed.splice(0)) wake();
  }
}
