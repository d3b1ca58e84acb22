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
import { encodeHead } from "./frame.ts";
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

/** One broadcast being served. */
export class ServeDriver {
  readonly #options: ServeOptions;
  readonly #listener: ServeListener;
  readonly #connections = new Map<number, LaneConnection>();
  readonly #checksums: Uint32Array;
  #state: SenderState;
  #timer: NodeJS.Timeout | null = null;
  #over = false;
  /** Connections that subscribed and are not over: their sockets may hold bytes. */
  readonly #live = new Set<number>();
  #whenIdle: (() => void) | null = null;

  constructor(options: ServeOptions, listener: ServeListener) {
    this.#options = options;
    this.#listener = listener;
    const { layout } = options.plan;
    this.#checksums = new Uint32Array(layout.count);
    this.#state = createSenderState({ layout, stallMs: options.stallMs });
  }

  /** A chunk is here and verified. */
  available(chunk: number, checksum: number): void {
    this.#checksums[chunk] = checksum;
    this.#take({ type: "available", chunk, nowMs: this.#options.nowMs() });
  }

  /** A node wants chunks over this connection. @throws {RangeError} when the bitmap is not one of this broadcast. */
  subscribe(subscription: number, connection: LaneConnection, nodeRank: number, bitmap: Uint8Array, creditBytes: number): void {
    const want = ChunkSet.fromBytes(this.#options.plan.layout.count, bitmap);
    this.#connections.set(subscription, connection);
    this.#live.add(subscription);
    // Not a number is no credit either.
    const credit = creditBytes >= 0 ? Math.min(creditBytes, this.#options.creditBytes) : 0;
    this.#take({ type: "subscribe", subscription, nodeRank, want, creditBytes: credit, nowMs: this.#options.nowMs() });
  }

  /** How many of these chunks are here. @throws {RangeError} when the bitmap is not one of this broadcast. */
  count(bitmap: Uint8Array): number {
    return ChunkSet.fromBytes(this.#options.plan.layout.count, bitmap).and(this.#state.available).count;
  }

  /** What a connection said after it subscribed. */
  hear(type: "acknowledged" | "alive" | "finished", subscription: number, number: number): void {
    const nowMs = this.#options.nowMs();
    if (type === "acknowledged") this.#take({ type, subscription, chunk: number, nowMs });
    else if (type === "alive") this.#take({ type, subscription, nowMs });
    else {
      this.#take({ type, nodeRank: number, nowMs });
      this.#listener.onFinished(number);
    }
  }

  /** A connection is over. */
  gone(subscription: number): void {
    this.#connections.delete(subscription);
    this.#live.delete(subscription);
    this.#take({ type: "gone", subscription, nowMs: this.#options.nowMs() });
    if (this.#live.size === 0) this.#whenIdle?.();
  }

  /** Ends every connection of this broadcast; resolves when no socket holds bytes of it any more. */
  async close(): Promise<void> {
    this.#over = true;
    const idle = new Promise<void>((resolve) => {
      this.#whenIdle = resolve;
    });
    if (this.#timer) clearTimeout(this.#timer);
    for (const connection of this.#connections.values()) connection.destroy();
    this.#connections.clear();
    if (this.#live.size > 0) await idle;
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
        this.#send(instruction.subscription, instruction.chunk);
        return;
      case "slow":
        this.#listener.onSlow(instruction.nodeRank, instruction.silentMs);
        return;
      case "cut":
        this.#connections.get(instruction.subscription)?.destroy();
        this.#connections.delete(instruction.subscription);
        if (instruction.reason === "stalled") this.#listener.onStalled(instruction.nodeRank, instruction.silentMs);
        return;
      case "setTimer": {
        if (this.#timer) clearTimeout(this.#timer);
        const delayMs = Math.max(1, Math.ceil(instruction.dueMs - this.#options.nowMs()) + 1);
        this.#timer = setTimeout(() => afterInput(() => this.#take({ type: "timer", nowMs: this.#options.nowMs() })), delayMs);
      }
    }
  }

  #send(subscription: number, chunk: number): void {
    const connection = this.#connections.get(subscription);
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
