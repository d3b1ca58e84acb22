/** One node's part in live weights between nodes: serves what its ranks have published, brings what those of other nodes have. The head says what. */
import { asCheckpointError, type SegmentDescriptor, toErrorRecord } from "@rankcast/core/runtime";
import type { BroadcastId, BroadcastOffer, NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { LiveBring, LiveBrought, LiveDrop, LiveServe } from "../grpc/cluster-server.ts";
import { toWireError } from "../round/root-cause.ts";

/** What the head tells a node about live weights. */
export type LiveCommand = LiveServe | LiveBring | LiveDrop;

/** See the module comment. One per node and epoch, the head's node included. */
export class LiveSegments {
  readonly #broadcast: NodeBroadcast;
  readonly #tell: (message: LiveBrought) => void;
  /** What is served or here, by sequence. */
  readonly #open = new Map<number, BroadcastId>();

  constructor(broadcast: NodeBroadcast, tell: (message: LiveBrought) => void) {
    this.#broadcast = broadcast;
    this.#tell = tell;
  }

  /** Does what the head says; outcomes are told. */
  take(command: LiveCommand): void {
    const { sequence } = command;
    if (command.type === "liveDrop") {
      this.#drop(sequence);
      return;
    }
    const offer = command.offer as BroadcastOffer;
    this.#open.set(sequence, offer.id);
    const work = command.type === "liveServe" ? this.#serve(command, offer) : this.#bring(sequence, offer);
    work.catch((error: unknown) => {
      // A failed broadcast has given its memory back; one that was dropped meanwhile interests nobody.
      if (this.#open.delete(sequence))
        this.#tell({ type: "liveBrought", sequence, segments: [], cause: toWireError(toErrorRecord(asCheckpointError(error))) });
    });
  }

  /** Gives everything back. */
  close(): void {
    for (const sequence of [...this.#open.keys()]) this.#drop(sequence);
  }

  async #serve({ segments }: LiveServe, offer: BroadcastOffer): Promise<void> {
    await this.#broadcast.offer(offer, segments as readonly SegmentDescriptor[]);
  }

  async #bring(sequence: number, offer: BroadcastOffer): Promise<void> {
    const { descriptors } = await this.#broadcast.receive(offer);
    if (this.#open.has(sequence)) this.#tell({ type: "liveBrought", sequence, segments: descriptors });
  }

  #drop(sequence: number): void {
    const id = this.#open.get(sequence);
    this.#open.delete(sequence);
    if (id) this.#broadcast.end(id);
  }
}
