/** One node's part in live weights between nodes: serves what its ranks have published, brings what those of other nodes have. The head says what. */
import { asCheckpointError, type SegmentDescriptor, toErrorRecord } from "@rankcast/core/runtime";
import type { KeptTarget } from "../broadcast/incoming.ts";
import type { GenerationPlace, RankSet } from "../broadcast/kept-generations.ts";
import type { BroadcastId, BroadcastOffer, NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { LiveBring, LiveBrought, LiveDrop, LiveEncode, LiveEncoded, LiveServe } from "../grpc/cluster-server.ts";
import { toWireError } from "../round/root-cause.ts";

/** What the head tells a node about live weights. */
export type LiveCommand = LiveServe | LiveBring | LiveDrop | LiveEncode;

/** A version and an earlier one, both in memory of a rank of the node. Plain data. */
export interface LiveDifference {
  readonly place: GenerationPlace;
  readonly source: RankSet;
  readonly base: { readonly generation: number; readonly source: RankSet };
}

/** What is open for one sequence. */
interface Open {
  /** Null while a difference is made. */
  id: BroadcastId | null;
  /** Set when the version is kept on this node. */
  place: GenerationPlace | null;
  releaseDelta: () => void;
}

/** See the module comment. One per node and epoch, the head's node included. */
export class LiveSegments {
  readonly #broadcast: NodeBroadcast;
  readonly #tell: (message: LiveBrought | LiveEncoded) => void;
  /** What is served or here, by sequence. */
  readonly #open = new Map<number, Open>();

  constructor(broadcast: NodeBroadcast, tell: (message: LiveBrought | LiveEncoded) => void) {
    this.#broadcast = broadcast;
    this.#tell = tell;
  }

  /** Does what the head says; outcomes are told. */
  take(command: LiveCommand): void {
    const { sequence } = command;
    switch (command.type) {
      case "liveDrop":
        this.#drop(sequence);
        return;
      case "liveEncode":
        void this.#encode(sequence, command.source as LiveDifference);
        return;
      case "liveServe":
        this.#attempt(sequence, this.#serve(command));
        return;
      case "liveBring":
        this.#attempt(sequence, this.#bring(command));
    }
  }

  /** Gives everything back. */
  close(): void {
    for (const sequence of [...this.#open.keys()]) this.#drop(sequence);
  }

  #attempt(sequence: number, work: Promise<void>): void {
    work.catch((error: unknown) => {
      const open = this.#open.get(sequence);
      // A failed broadcast has given its memory back; one that was dropped meanwhile interests nobody.
      if (!this.#open.delete(sequence)) return;
      open?.releaseDelta();
      this.#tell({
        type: "liveBrought",
        sequence,
        segments: [],
        set: "",
        cause: toWireError(toErrorRecord(asCheckpointError(error))),
      });
    });
  }

  async #encode(sequence: number, { place, source, base }: LiveDifference): Promise<void> {
    const open: Open = { id: null, place: null, releaseDelta: () => undefined };
    this.#open.set(sequence, open);
    const { generations } = this.#broadcast;
    const delta = await generations.encode(place, source, base);
    // The next version starts from this one, or from that.
    generations.retain(place.lineage, [base.generation, place.generation]);
    if (!this.#open.has(sequence)) {
      delta?.release();
      return;
    }
    open.releaseDelta = () => delta?.release();
    this.#tell({ type: "liveEncoded", sequence, segment: delta?.descriptor ?? null });
  }

  async #serve({ sequence, offer, segments }: LiveServe): Promise<void> {
    this.#openOf(sequence).id = (offer as BroadcastOffer).id;
    await this.#broadcast.offer(offer as BroadcastOffer, segments as readonly SegmentDescriptor[]);
  }

  async #bring({ sequence, offer, kept }: LiveBring): Promise<void> {
    const open = this.#openOf(sequence);
    const target = kept as KeptTarget | null;
    open.id = (offer as BroadcastOffer).id;
    open.place = target?.place ?? null;
    const { descriptors, set } = await this.#broadcast.receive(offer as BroadcastOffer, target ? { kept: target } : {});
    if (this.#open.has(sequence)) this.#tell({ type: "liveBrought", sequence, segments: descriptors, set: set ?? "" });
  }

  #openOf(sequence: number): Open {
    const open = this.#open.get(sequence) ?? { id: null, place: null, releaseDelta: () => undefined };
    this.#open.set(sequence, open);
    return open;
  }

  #drop(sequence: number): void {
    const open = this.#open.get(sequence);
    this.#open.delete(sequence);
    if (!open) return;
    if (open.id) this.#broadcast.end(open.id);
    open.releaseDelta();
    if (open.place) this.#broadcast.generations.drop(open.place.lineage, open.place.generation);
  }
}
