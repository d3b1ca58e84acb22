/** The updates of a job as generations that this node keeps: which one the next may start from. Every node of the job keeps the same ones. */
import type { PlacedSegments } from "@rankcast/core/runtime";
import type { GenerationPlace, RankSet } from "../broadcast/kept-generations.ts";
import type { NodeBroadcast, OfferOptions } from "../broadcast/node-broadcast.ts";
import type { PreparedDelta } from "../broadcast/threaded-generations.ts";
import { LAYOUTS_MAX } from "../round/known-layouts.ts";

const LINEAGE = "updates";

/** An update in memory of one of this node's ranks. */
export interface OwnUpdate {
  /** How its bytes are offered; undefined when they are not kept. */
  readonly held: OfferOptions["held"];
  /** What travels instead of the bytes; null: they travel whole. */
  readonly delta: PreparedDelta | null;
  /** The update that `delta` starts from. */
  readonly base: number | null;
}

/** See the module comment. */
export class RoundLineage {
  readonly #broadcast: NodeBroadcast;
  /** The last update of each layout that passed: every node has it. */
  readonly #last = new Map<string, number>();
  #pending: { readonly sequence: number; readonly layout: string } | null = null;

  constructor(broadcast: NodeBroadcast) {
    this.#broadcast = broadcast;
  }

  /** Where an update of this layout belongs. It counts once `over` says that it passed. */
  placeOf(sequence: number, layout: string): GenerationPlace {
    this.#pending = { sequence, layout };
    return { lineage: LINEAGE, layout, generation: sequence };
  }

  /** A rank of this node has an update. */
  async own(sequence: number, { reuse, segments }: PlacedSegments): Promise<OwnUpdate> {
    if (!reuse || reuse.set === null) return { held: undefined, delta: null, base: null };
    const place = this.placeOf(sequence, reuse.layout);
    const source: RankSet = { id: reuse.set, descriptors: segments };
    const base = this.#last.get(reuse.layout) ?? null;
    const from = base === null ? null : { generation: base, source: null };
    const delta = await this.#broadcast.generations.encode(place, source, from);
    return { held: { place, set: reuse.set }, delta, base };
  }

  /** A round is over: one that passed is what the next starts from, one that failed leaves the one before as it was, on every node. */
  over(sequence: number, passed: boolean): void {
    const pending = this.#pending;
    if (pending?.sequence !== sequence) return;
    this.#pending = null;
    const { generations } = this.#broadcast;
    if (passed) {
      this.#last.delete(pending.layout);
      this.#last.set(pending.layout, sequence);
      const [oldest] = this.#last.keys();
      if (this.#last.size > LAYOUTS_MAX && oldest !== undefined) this.#last.delete(oldest);
      generations.retain(LINEAGE, [...this.#last.values()]);
    } else generations.drop(LINEAGE, sequence);
  }
}
