/** The coordinator's side of the two threads: promises for what they report, and the rule for stalled receivers. */
import type { Limits } from "@rankcast/core";
import {
  type BroadcastId,
  type BroadcastOffer,
  broadcastKey,
  checkOffer,
  fromErrorRecord,
  planBroadcast,
  type SegmentDescriptor,
  stalledReceiverError,
} from "@rankcast/core/runtime";
import type { Arrived } from "./incoming.ts";
import type { BroadcastEvent, NodeBroadcast, OfferOptions, ReceivedSegments, ReceiveOptions } from "./node-broadcast.ts";
import type { BroadcastThreads } from "./start-threads.ts";
import { fillStripes, type StripeFeed } from "./stripes.ts";
import type { ThreadMessage } from "./thread-message.ts";
import { ThreadedGenerations } from "./threaded-generations.ts";

/** What the facade was told. */
export interface ThreadedOptions {
  readonly nodeRank: number;
  readonly limits: Limits;
  readonly stalledReceiver: "fail" | "drop";
  onEvent(event: BroadcastEvent): void;
}

interface Outcome extends Arrived {
  readonly roundTripMs: number | null;
}

const NOTHING_RECEIVED: Outcome = { descriptors: [], set: null, roundTripMs: null };

interface Open {
  readonly id: BroadcastId;
  readonly kind: "offer" | "receive";
  /** Nodes that are planned to pull from here and have not finished. */
  readonly awaited: Set<number>;
  readonly onProgress: (bytes: number) => void;
  readonly stripes: StripeFeed | null;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
  settled: boolean;
}

/** A node's broadcasts, by name. */
export class ThreadedBroadcast implements NodeBroadcast {
  readonly #threads: BroadcastThreads;
  readonly #options: ThreadedOptions;
  readonly #open = new Map<string, Open>();
  readonly generations: ThreadedGenerations;
  #nodeRank: number;
  #closing: Promise<void> | null = null;
  /** What ended one of the threads: nothing can be brought or served any more. */
  #dead: Error | null = null;

  constructor(threads: BroadcastThreads, options: ThreadedOptions) {
    this.#threads = threads;
    this.#options = options;
    this.#nodeRank = options.nodeRank;
    this.generations = new ThreadedGenerations((command) => threads.command(command));
    threads.listen(
      (message) => this.#hear(message),
      (error) => this.#die(error),
    );
  }

  get laneAddress(): string {
    return this.#threads.address;
  }

  get lanePort(): number {
    return this.#threads.port;
  }

  assign(nodeRank: number): void {
    this.#nodeRank = nodeRank;
  }

  async offer(
    offer: BroadcastOffer,
    descriptors: readonly SegmentDescriptor[],
    { signal, held = undefined }: OfferOptions = {},
  ): Promise<void> {
    await this.#begin(offer, "offer", { signal }, () => this.#threads.command({ type: "offer", offer, descriptors, held: held ?? null }));
  }

  async receive(offer: BroadcastOffer, options: ReceiveOptions = {}): Promise<ReceivedSegments> {
    const striped = options.own !== undefined;
    const nodeRank = this.#nodeRank;
    const { kept = null } = options;
    const { descriptors, set, roundTripMs } = await this.#begin(offer, "receive", options, () =>
      this.#threads.command({ type: "receive", offer, nodeRank, striped, kept }),
    );
    let released = false;
    return {
      descriptors,
      set,
      roundTripMs,
      release: () => {
        if (!released) this.#threads.command({ type: "release", key: broadcastKey(offer.id) });
        released = true;
      },
    };
  }

  end(id: BroadcastId): void {
    const open = this.#open.get(broadcastKey(id));
    if (open === undefined) return;
    this.#open.delete(broadcastKey(id));
    this.#threads.command({ type: "end", id });
    if (open.kind === "offer") open.resolve(NOTHING_RECEIVED);
    else open.reject(new DOMException("the broadcast was ended", "AbortError"));
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const { id } of [...this.#open.values()]) this.end(id);
      this.generations.die();
      await this.#threads.close();
    })();
    return this.#closing;
  }

  async #begin(offer: BroadcastOffer, kind: Open["kind"], options: ReceiveOptions, command: () => void): Promise<Outcome> {
    const { signal, onProgress = () => undefined, own } = options;
    checkOffer(offer, this.#options.limits);
    signal?.throwIfAborted();
    if (this.#dead !== null) throw this.#dead;
    const key = broadcastKey(offer.id);
    if (this.#closing !== null || this.#open.has(key)) throw new RangeError(`broadcast ${key} is open already, or the node is closing`);
    const plan = planBroadcast(offer).node(this.#nodeRank);
    const stripes = own
      ? fillStripes(offer, plan.own, own, (chunk, bytes) => this.#threads.command({ type: "stripe", key, chunk, bytes }))
      : null;
    const abort = (): void => this.#settle(key, (open) => open.reject(signal?.reason));
    try {
      return await new Promise((resolve, reject) => {
        const awaited = new Set(kind === "offer" ? plan.successors : []);
        this.#open.set(key, { id: offer.id, kind, awaited, onProgress, stripes, resolve, reject, settled: false });
        signal?.addEventListener("abort", abort, { once: true });
        command();
        stripes?.failed.catch((error: unknown) => this.#settle(key, (open) => open.reject(error)));
        if (kind === "offer" && awaited.size === 0) this.#settle(key, (open) => open.resolve(NOTHING_RECEIVED));
      });
    } catch (error) {
      // A failed broadcast serves nobody: others must not build on what this node could not finish.
      this.end(offer.id);
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      stripes?.stop();
    }
  }

  #hear(message: ThreadMessage): void {
    if (message.type === "ready" || message.type === "unready") return;
    if (message.type === "encoded") {
      this.generations.encoded(message.request, message.descriptor);
      return;
    }
    const { key } = message;
    const open = this.#open.get(key);
    if (open === undefined) return;
    const { id } = open;
    switch (message.type) {
      case "progress":
        if (!open.settled) open.onProgress(message.bytes);
        return;
      case "complete":
        if (open.kind === "receive") this.#settle(key, () => open.resolve({ ...message.arrived, roundTripMs: message.roundTripMs }));
        return;
      case "failed":
        this.#settle(key, () => open.reject(fromErrorRecord(message.error)));
        return;
      case "taken":
        open.stripes?.taken(message.chunk);
        return;
      case "switched":
        this.#options.onEvent({ id, type: "source-switched", from: message.from, to: message.to, reason: message.reason });
        return;
      case "slow":
        this.#options.onEvent({ id, type: "receiver-slow", nodeRank: message.receiver, silentMs: message.silentMs });
        return;
      case "stalled":
        this.#stalled(key, open, message.receiver, message.silentMs);
        return;
      case "finished":
        this.#options.onEvent({ id, type: "receiver-finished", nodeRank: message.receiver });
        this.#arrived(key, open, message.receiver);
    }
  }

  #stalled(key: string, open: Open, receiver: number, silentMs: number): void {
    const error = stalledReceiverError(open.id, this.#nodeRank, receiver, silentMs);
    this.#options.onEvent({ id: open.id, type: "receiver-stalled", nodeRank: receiver, silentMs, error });
    if (open.kind !== "offer") return;
    if (this.#options.stalledReceiver === "fail") this.#settle(key, () => open.reject(error));
    else this.#arrived(key, open, receiver);
  }

  #arrived(key: string, open: Open, receiver: number): void {
    open.awaited.delete(receiver);
    if (open.kind === "offer" && open.awaited.size === 0) this.#settle(key, () => open.resolve(NOTHING_RECEIVED));
  }

  #settle(key: string, settle: (open: Open) => void): void {
    const open = this.#open.get(key);
    if (open === undefined || open.settled) return;
    open.settled = true;
    settle(open);
  }

  #die(error: Error): void {
    this.#dead = error;
    this.generations.die();
    for (const key of this.#open.keys()) this.#settle(key, (open) => open.reject(error));
  }
}
