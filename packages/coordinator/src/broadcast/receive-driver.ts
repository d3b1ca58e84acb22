/** Drives the receiver machine of one broadcast: opens pulls and probes over a lane, writes chunks, keeps the timer. */
import type { CheckpointError } from "@rankcast/core";
import {
  asCheckpointError,
  type BroadcastOffer,
  type BroadcastPlan,
  type ChunkSet,
  contentDigest,
  createReceiverState,
  RECEIVER_TIMES,
  type ReceiverEvent,
  type ReceiverInstruction,
  type ReceiverState,
  receiverError,
  stepReceiver,
} from "@rankcast/core/runtime";
import { afterInput } from "./after-input.ts";
import type { ChunkTarget } from "./chunk-intake.ts";
import { DIGEST_BYTES } from "./frame.ts";
import type { Lane } from "./lane.ts";
import { openProbe } from "./probe.ts";
import { Pull } from "./pull.ts";
import type { PullTerms } from "./pull-connection.ts";

/** What receiving needs. */
export interface ReceiveOptions {
  readonly offer: BroadcastOffer;
  readonly plan: BroadcastPlan;
  readonly nodeRank: number;
  readonly lane: Lane;
  readonly creditBytes: number;
  readonly giveUpMs: number;
  /** Chunks that the caller fills (`filled`). */
  readonly own: ChunkSet;
  write(segment: number, bytes: Uint8Array, offset: number): void;
  nowMs(): number;
}

/** Hears what happens. */
export interface ReceiveListener {
  /** The chunk is verified and may be forwarded. Once per chunk. */
  onChunk(chunk: number, checksum: number): void;
  onSwitched(from: number, to: number, reason: string): void;
  onComplete(): void;
  onFailed(error: CheckpointError): void;
}

/** One broadcast being received. */
export class ReceiveDriver {
  readonly #options: ReceiveOptions;
  readonly #listener: ReceiveListener;
  readonly #addresses: ReadonlyMap<number, string>;
  readonly #target: ChunkTarget;
  readonly #terms: PullTerms;
  #state: ReceiverState;
  /** The open pull; a closed one says nothing any more. */
  #pull: Pull | null = null;
  #links = 0;
  #roundTripMs: number | null = null;
  #probe: { close(): void } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #over = false;

  constructor(options: ReceiveOptions, listener: ReceiveListener) {
    this.#options = options;
    this.#listener = listener;
    const { offer, plan, nodeRank, own } = options;
    const digest = contentDigest(offer);
    this.#addresses = new Map(offer.nodes.map((node) => [node.nodeRank, node.address]));
    this.#target = {
      layout: plan.layout,
      digest,
      missing: (chunk) => !this.#state.received.has(chunk),
      write: (segment, bytes, offset) => options.write(segment, bytes, offset),
    };
    this.#terms = {
      nodeRank,
      creditBytes: options.creditBytes,
      digest: Buffer.from(digest).toString("hex", 0, DIGEST_BYTES),
    };
    this.#state = createReceiverState(
      {
        ...RECEIVER_TIMES,
        chunkCount: plan.layout.count,
        own,
        sources: plan.node(nodeRank).sources,
        connections: plan.connections,
        giveUpMs: options.giveUpMs,
      },
      options.nowMs(),
    );
  }

  /** Bytes that are here and verified. */
  get received(): ChunkSet {
    return this.#state.received;
  }

  /** The fastest answer that a source has given to being dialled; null when nobody can tell. */
  get roundTripMs(): number | null {
    return this.#roundTripMs;
  }

  /** Begins. */
  start(): void {
    this.#take({ type: "start", nowMs: this.#options.nowMs() });
  }

  /** A chunk of `own` is in its place; `checksum` covers it. */
  filled(chunk: number, checksum: number): void {
    if (this.#over || this.#state.received.has(chunk)) return;
    this.#listener.onChunk(chunk, checksum);
    this.#take({ type: "own", chunk, nowMs: this.#options.nowMs() });
  }

  /** Ends without an outcome: nothing is called after. */
  stop(): void {
    this.#finish(false);
  }

  #take(event: ReceiverEvent): void {
    if (this.#over) return;
    const step = stepReceiver(this.#state, event);
    this.#state = step.state;
    for (const instruction of step.instructions) this.#execute(instruction);
  }

  #execute(instruction: ReceiverInstruction): void {
    const { offer, plan, nodeRank } = this.#options;
    switch (instruction.type) {
      case "pull":
        this.#openPull(instruction.source, instruction.connections, instruction.want);
        return;
      case "connect":
        this.#pull?.connect(instruction.connection, instruction.want);
        return;
      case "reask":
        this.#pull?.reask(instruction.connection, instruction.missing);
        return;
      case "probe":
        this.#openProbe(instruction.source, instruction.want);
        return;
      case "stop":
        this.#closePull(this.#state.phase === "complete");
        return;
      case "switched":
        this.#listener.onSwitched(instruction.from, instruction.to, instruction.reason);
        return;
      case "setTimer":
        this.#setTimer(instruction.dueMs);
        return;
      case "complete":
        this.#finish(true);
        this.#listener.onComplete();
        return;
      case "fail":
        this.#finish(false);
        this.#listener.onFailed(receiverError(offer.id, nodeRank, plan.layout, instruction.failure));
    }
  }

  #setTimer(dueMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    // Timers may fire a little early; the machine must not be asked before it is due, or it would ask again at once.
    const delayMs = Math.max(1, Math.ceil(dueMs - this.#options.nowMs()) + 1);
    this.#timer = setTimeout(() => afterInput(() => this.#take({ type: "timer", nowMs: this.#options.nowMs() })), delayMs);
  }

  #openPull(source: number, connections: readonly number[], want: ChunkSet): void {
    const nowMs = (): number => this.#options.nowMs();
    const { lane } = this.#options;
    this.#closePull(false);
    this.#links += 1;
    const from = { lane, address: this.#addresses.get(source) ?? "", terms: this.#terms, link: this.#links };
    const opened = new Pull(from, this.#target, {
      onBytes: () => this.#take({ type: "bytes", nowMs: nowMs() }),
      onChunk: (connection, chunk, checksum) => {
        if (!this.#state.received.has(chunk)) this.#listener.onChunk(chunk, checksum);
        this.#take({ type: "chunk", source, connection, chunk, nowMs: nowMs() });
      },
      onCorrupt: (connection, chunk) => this.#take({ type: "corrupt", source, connection, chunk, nowMs: nowMs() }),
      onBroken: (connection, reason) => this.#take({ type: "broken", source, connection, reason, nowMs: nowMs() }),
      onWriteFailed: (error) => {
        this.#finish(false);
        this.#listener.onFailed(asCheckpointError(error));
      },
    });
    this.#pull = opened;
    for (const connection of connections) opened.connect(connection, want);
  }

  #closePull(finished: boolean): void {
    const { roundTripMs = null } = this.#pull ?? {};
    if (roundTripMs !== null) this.#roundTripMs = Math.min(roundTripMs, this.#roundTripMs ?? roundTripMs);
    this.#pull?.close(finished);
    this.#pull = null;
  }

  #openProbe(source: number, want: ChunkSet): void {
    this.#probe?.close();
    this.#probe = openProbe(this.#options.lane, this.#addresses.get(source) ?? "", this.#terms, want, this.#target, (available) => {
      this.#take({ type: "have", source, available, nowMs: this.#options.nowMs() });
    });
  }

  #finish(finished: boolean): void {
    this.#over = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#closePull(finished);
    this.#probe?.close();
  }
}
