/** Drives the sender machine of one broadcast: frames chunks, keeps the timer, cuts who stalls. */
import {
  type BroadcastPlan,
  ChunkSet,
  createSenderState,
  type SenderEvent,
  type SenderInstruction,
  type SenderState,
  stepSender,
} from "@rankcast/core/runtime";
import { afterInput } from "./after-input.ts";
import { encodeHead, type FrameHead } from "./frame.ts";
import type { LaneConnection } from "./lane.ts";

/** What serving needs. */
export interface ServeOptions {
  readonly plan: BroadcastPlan;
  /** Of the content, as heads carry it. */
  readonly digest: string;
  readonly stallMs: number;
  readonly creditBytes: number;
  /** The bytes of a chunk; `release` is called when they are not needed any more. */
  read(chunk: number): { readonly bytes: Uint8Array; release(): void };
  nowMs(): number;
}

/** Hears what happens. */
export interface ServeListener {
  onSlow(nodeRank: number, silentMs: number): void;
  onStalled(nodeRank: number, silentMs: number): void;
  onFinished(nodeRank: number): void;
}

/** One connection of a receiver. After `gone` nothing more may be said. */
export interface ServedConnection {
  acknowledged(chunk: number): void;
  alive(): void;
  /** Another connection of its link is lost. @throws {RangeError} when the bitmap is not one of this broadcast. */
  lost(connection: number, bitmap: Uint8Array): void;
  finished(): void;
  gone(): void;
}

/** What a request to be served says. */
export type SubscribeTerms = Pick<FrameHead, "number" | "link" | "connection" | "creditBytes">;

interface ServedLink {
  readonly subscription: number;
  readonly connections: Map<number, LaneConnection>;
}

/** One broadcast being served. */
export class ServeDriver {
  readonly #options: ServeOptions;
  readonly #listener: ServeListener;
  /** Links that live, by receiver and its number for the link. */
  readonly #links = new Map<string, ServedLink>();
  readonly #bySubscription = new Map<number, ServedLink>();
  readonly #checksums: Uint32Array;
  #state: SenderState;
  #subscriptions = 0;
  #timer: NodeJS.Timeout | null = null;
  #over = false;
  /** Connections that subscribed and are not over: their sockets may hold bytes. */
  readonly #live = new Set<LaneConnection>();
  #whenIdle: (() => void) | null = null;

  constructor(options: ServeOptions, listener: ServeListener) {
    this.#options = options;
    this.#listener = listener;
    const { layout, connections } = options.plan;
    this.#checksums = new Uint32Array(layout.count);
    this.#state = createSenderState({ layout, stallMs: options.stallMs, connections });
  }

  /** A chunk is here and verified. */
  available(chunk: number, checksum: number): void {
    this.#checksums[chunk] = checksum;
    this.#take({ type: "available", chunk, nowMs: this.#options.nowMs() });
  }

  /**
   * A node wants chunks over this connection, alone or with the others of its link. @throws {RangeError} when the bitmap is not one of this broadcast,
   * or the link has this connection already.
   */
  subscribe(connection: LaneConnection, terms: SubscribeTerms, bitmap: Uint8Array): ServedConnection {
    const { number: nodeRank, connection: number } = terms;
    const want = ChunkSet.fromBytes(this.#options.plan.layout.count, bitmap);
    const key = `${nodeRank}/${terms.link}`;
    const link = this.#links.get(key) ?? this.#newLink(key);
    const { subscription, connections } = link;
    if (connections.has(number)) throw new RangeError(`link ${key} has connection ${number} already`);
    connections.set(number, connection);
    this.#live.add(connection);
    // Not a number is no credit either.
    const creditBytes = terms.creditBytes >= 0 ? Math.min(terms.creditBytes, this.#options.creditBytes) : 0;
    const now = (): { readonly nowMs: number } => ({ nowMs: this.#options.nowMs() });
    this.#take({ type: "subscribe", subscription, connection: number, nodeRank, want, creditBytes, ...now() });
    return {
      acknowledged: (chunk) => this.#take({ type: "acknowledged", subscription, connection: number, chunk, ...now() }),
      alive: () => this.#take({ type: "alive", subscription, connection: number, ...now() }),
      lost: (lost, missing) => {
        const left = ChunkSet.fromBytes(this.#options.plan.layout.count, missing);
        this.#take({ type: "lost", subscription, connection: lost, missing: left, ...now() });
      },
      finished: () => this.#finished(nodeRank, subscription),
      gone: () => this.#gone(key, link, number, connection),
    };
  }

  /** How many of these chunks are here. @throws {RangeError} when the bitmap is not one of this broadcast. */
  count(bitmap: Uint8Array): number {
    return ChunkSet.fromBytes(this.#options.plan.layout.count, bitmap).and(this.#state.available).count;
  }

  /** Ends every connection of this broadcast; resolves when no socket holds bytes of it any more. */
  async close(): Promise<void> {
    this.#over = true;
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    if (this.#timer) clearTimeout(this.#timer);
    for (const connection of this.#live) connection.destroy();
    if (this.#live.size > 0) await idle;
  }

  #newLink(key: string): ServedLink {
    this.#subscriptions += 1;
    const link = { subscription: this.#subscriptions, connections: new Map<number, LaneConnection>() };
    this.#links.set(key, link);
    this.#bySubscription.set(link.subscription, link);
    return link;
  }

  #finished(nodeRank: number, subscription: number): void {
    // Every connection of a link says so.
    const isOver = !this.#state.subscriptions.has(subscription);
    this.#take({ type: "finished", nodeRank, subscription, nowMs: this.#options.nowMs() });
    if (!isOver) this.#listener.onFinished(nodeRank);
  }

  #gone(key: string, link: ServedLink, number: number, connection: LaneConnection): void {
    link.connections.delete(number);
    if (link.connections.size === 0) {
      this.#bySubscription.delete(link.subscription);
      if (this.#links.get(key) === link) this.#links.delete(key);
    }
    this.#live.delete(connection);
    this.#take({ type: "gone", subscription: link.subscription, connection: number, nowMs: this.#options.nowMs() });
    if (this.#live.size === 0) this.#whenIdle?.();
  }

  #take(event: SenderEvent): void {
    if (this.#over) return;
    const step = stepSender(this.#state, event);
    this.#state = step.state;
    for (const instruction of step.instructions) this.#execute(instruction);
  }

  #execute(instruction: SenderInstruction): void {
    switch (instruction.type) {
      case "send":
        this.#send(instruction.subscription, instruction.connection, instruction.chunk);
        return;
      case "slow":
        this.#listener.onSlow(instruction.nodeRank, instruction.silentMs);
        return;
      case "stalled":
        this.#listener.onStalled(instruction.nodeRank, instruction.silentMs);
        return;
      case "cut":
        this.#bySubscription.get(instruction.subscription)?.connections.get(instruction.connection)?.destroy();
        return;
      case "setTimer": {
        if (this.#timer) clearTimeout(this.#timer);
        const delayMs = Math.max(1, Math.ceil(instruction.dueMs - this.#options.nowMs()) + 1);
        this.#timer = setTimeout(() => afterInput(() => this.#take({ type: "timer", nowMs: this.#options.nowMs() })), delayMs);
      }
    }
  }

  #send(subscription: number, number: number, chunk: number): void {
    const connection = this.#bySubscription.get(subscription)?.connections.get(number);
    if (connection === undefined) return;
    let read: ReturnType<ServeOptions["read"]>;
    try {
      read = this.#options.read(chunk);
    } catch {
      // A file that was cut short: the receiver finds the bytes elsewhere or fails by itself, and others are served.
      connection.destroy();
      return;
    }
    const { bytes, release } = read;
    const { digest } = this.#options;
    const head = encodeHead({ type: "chunk", digest, number: chunk, checksum: this.#checksums[chunk] ?? 0, payloadBytes: bytes.length });
    connection.write([head, bytes], release);
  }
}
