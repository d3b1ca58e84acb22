/**
 * A cluster of receiver and sender machines in virtual time. Everything that chance decides comes from the seed: a failing schedule is
 * replayed by its number alone.
 */
import {
  type BroadcastOffer,
  type ChunkSet,
  createReceiverState,
  createSenderState,
  planBroadcast,
  RECEIVER_TIMES,
  type ReceiverEvent,
  type SenderEvent,
  stepReceiver,
  stepSender,
} from "@rankcast/core/internal";
import { EventQueue } from "./event-queue.ts";
import type { SimulatedConnection as Connection, SimulatedNode as Node } from "./simulated-node.ts";
import { chance, type Faults, type Outcome, type Simulation } from "./simulation.ts";

type EventBody<T> = T extends unknown ? Omit<T, "nowMs"> : never;

/** Runs until nothing more happens. */
export function simulate(simulation: Simulation): Outcome {
  return new Cluster(simulation).run();
}

class Cluster {
  readonly #simulation: Simulation;
  readonly #random: () => number;
  readonly #nodes: Node[] = [];
  readonly #connections = new Map<number, Connection>();
  readonly #completedMs: (number | null)[];
  readonly #failed: (string | null)[];
  readonly #violations: string[] = [];
  readonly #fired = new Set<keyof Faults>();
  readonly #queue = new EventQueue();
  #nowMs = 0;
  #repeated = 0;
  #inFlightMax = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#random = chance(simulation.seed);
    const { nodes, chunks, owners, faults, halt } = simulation;
    const offer: BroadcastOffer = {
      id: { jobId: "job", epoch: 0, sequence: 0 },
      segmentBytes: [chunks],
      chunkBytes: 1,
      owners: Array.from({ length: owners }, (_, rank) => rank),
      nodes: Array.from({ length: nodes }, (_, nodeRank) => ({ nodeRank, address: "" })),
    };
    const plan = planBroadcast(offer);
    this.#completedMs = new Array<number | null>(nodes).fill(null);
    this.#failed = new Array<string | null>(nodes).fill(null);
    for (let rank = 0; rank < nodes; rank += 1) {
      const { own, sources } = plan.node(rank);
      const startMs = this.#strikes("late", faults.late) ? this.#random() * 3000 : 0;
      const mortal = rank >= owners;
      const diesMs = mortal && this.#strikes("death", faults.death) ? this.#random() * 1000 : Number.POSITIVE_INFINITY;
      const freezes = mortal && this.#strikes("freeze", faults.freeze);
      const begin = this.#random() * 500;
      const end = this.#random() < 0.5 ? Number.POSITIVE_INFINITY : begin + this.#random() * 5000;
      // Long enough that chance does not cut every connection of a node in turn.
      const options = { ...RECEIVER_TIMES, giveUpMs: 120_000, chunkCount: chunks, own, sources };
      this.#nodes.push({
        receiver: createReceiverState(options, startMs),
        sender: createSenderState({ layout: plan.layout, stallMs: 10_000 }),
        startMs,
        diesMs,
        frozen: halt?.nodeRank === rank ? [halt.atMs, Number.POSITIVE_INFINITY] : freezes ? [begin, end] : [Number.POSITIVE_INFINITY, 0],
        pull: null,
        receiverTimer: 0,
        senderTimer: 0,
      });
      this.#at(startMs, () => this.#begin(rank, own));
      if (diesMs < Number.POSITIVE_INFINITY) this.#at(diesMs, () => this.#die(rank));
    }
  }

  run(): Outcome {
    for (let events = 0; this.#queue.length > 0; events += 1) {
      const next = this.#queue.take();
      this.#nowMs = next.atMs;
      next.run();
      if (events > 200_000 || this.#nowMs > 600_000) {
        this.#violations.push(`no end after ${events} events and ${this.#nowMs} ms`);
        break;
      }
    }
    const gone = this.#nodes.map(
      ({ diesMs, frozen }) => diesMs < Number.POSITIVE_INFINITY || (frozen[0] < frozen[1] && frozen[1] === Number.POSITIVE_INFINITY),
    );
    return {
      completedMs: this.#completedMs,
      failed: this.#failed,
      gone,
      repeated: this.#repeated,
      inFlightMax: this.#inFlightMax,
      violations: this.#violations,
      fired: this.#fired,
    };
  }

  #strikes(fault: keyof Faults, odds: number): boolean {
    if (this.#random() >= odds) return false;
    this.#fired.add(fault);
    return true;
  }

  #at(atMs: number, run: () => void): void {
    this.#queue.add(atMs, run);
  }

  /** Runs on a node: not at all when it is dead, later when it stands still. */
  #on(rank: number, run: () => void): void {
    const node = this.#node(rank);
    if (this.#nowMs >= node.diesMs) return;
    const [begin, end] = node.frozen;
    if (this.#nowMs >= begin && this.#nowMs < end) {
      if (end < Number.POSITIVE_INFINITY) this.#at(end, () => this.#on(rank, run));
    } else run();
  }

  #setTimer(rank: number, timer: "receiverTimer" | "senderTimer", dueMs: number, fire: () => void): void {
    const node = this.#node(rank);
    node[timer] += 1;
    const mine = node[timer];
    this.#at(Math.max(dueMs, this.#nowMs), () => this.#on(rank, () => node[timer] === mine && fire()));
  }

  #node(rank: number): Node {
    const node = this.#nodes[rank];
    if (node === undefined) throw new RangeError(`node ${rank}`);
    return node;
  }

  #begin(rank: number, own: ChunkSet): void {
    this.#on(rank, () => {
      this.#receiver(rank, { type: "start" });
      for (let chunk = 0; chunk < this.#simulation.chunks; chunk += 1) {
        if (!own.has(chunk)) continue;
        // Owners have everything at once; stripes come from the origin, one after the other.
        const delayMs = own.full ? 0 : this.#random() * this.#simulation.chunkMs * this.#simulation.chunks;
        this.#at(this.#nowMs + delayMs, () => this.#on(rank, () => this.#fill(rank, chunk)));
      }
    });
  }

  #fill(rank: number, chunk: number): void {
    this.#receiver(rank, { type: "own", chunk });
    this.#sender(rank, { type: "available", chunk });
  }

  #die(rank: number): void {
    for (const connection of this.#connections.values()) {
      if (connection.receiver === rank || connection.source === rank) this.#close(connection, "the other node ended");
    }
  }

  #receiver(rank: number, event: EventBody<ReceiverEvent>): void {
    const node = this.#node(rank);
    const step = stepReceiver(node.receiver, { ...event, nowMs: this.#nowMs } as ReceiverEvent);
    node.receiver = step.state;
    for (const instruction of step.instructions) {
      switch (instruction.type) {
        case "pull":
          if (node.pull?.open) this.#violations.push(`node ${rank} pulls twice`);
          this.#pull(rank, instruction.source, instruction.want);
          break;
        case "probe":
          this.#probe(rank, instruction.source, instruction.want);
          break;
        case "stop":
          if (node.pull) this.#leave(node.pull);
          node.pull = null;
          break;
        case "setTimer":
          this.#setTimer(rank, "receiverTimer", instruction.dueMs, () => this.#receiver(rank, { type: "timer" }));
          break;
        case "complete":
          if (this.#completedMs[rank] !== null) this.#violations.push(`node ${rank} completed twice`);
          this.#completedMs[rank] = this.#nowMs;
          break;
        case "fail":
          this.#failed[rank] = instruction.failure.kind;
      }
    }
  }

  #sender(rank: number, event: EventBody<SenderEvent>): void {
    const node = this.#node(rank);
    const step = stepSender(node.sender, { ...event, nowMs: this.#nowMs } as SenderEvent);
    node.sender = step.state;
    for (const instruction of step.instructions) {
      if (instruction.type === "send") this.#send(rank, instruction.subscription, instruction.chunk);
      else if (instruction.type === "setTimer") {
        this.#setTimer(rank, "senderTimer", instruction.dueMs, () => this.#sender(rank, { type: "timer" }));
      } else if (instruction.type === "cut") {
        if (instruction.reason === "protocol") this.#violations.push(`node ${rank} cut node ${instruction.nodeRank} for what it said`);
        const connection = this.#connections.get(instruction.subscription);
        if (connection) this.#close(connection, "cut");
      }
    }
  }

  #pull(rank: number, source: number, want: ChunkSet): void {
    const { latencyMs, faults, creditChunks } = this.#simulation;
    const id = this.#connections.size + 1;
    const dead = this.#strikes("blackhole", faults.blackhole);
    const connection: Connection = { id, receiver: rank, source, open: true, subscribed: false, dead, freeMs: 0, inFlight: 0 };
    this.#connections.set(id, connection);
    this.#node(rank).pull = connection;
    if (this.#nowMs >= this.#node(source).diesMs) {
      this.#at(this.#nowMs + 2 * latencyMs, () => this.#close(connection, "refused"));
      return;
    }
    const atMs = Math.max(this.#nowMs + 2 * latencyMs, this.#node(source).startMs);
    this.#at(atMs, () =>
      this.#on(source, () => {
        if (!connection.open) return;
        connection.subscribed = true;
        this.#sender(source, { type: "subscribe", subscription: id, nodeRank: rank, want, creditBytes: creditChunks });
      }),
    );
  }

  #probe(rank: number, source: number, want: ChunkSet): void {
    const { latencyMs } = this.#simulation;
    const answer = (available: number | null): void =>
      this.#at(this.#nowMs + latencyMs, () => this.#on(rank, () => this.#receiver(rank, { type: "have", source, available })));
    this.#at(this.#nowMs + latencyMs, () => {
      if (this.#nowMs >= this.#node(source).diesMs) answer(null);
      else this.#on(source, () => answer(want.and(this.#node(source).sender.available).count));
    });
  }

  #send(rank: number, id: number, chunk: number): void {
    const { chunkMs, latencyMs, faults, creditChunks, slow } = this.#simulation;
    const connection = this.#connections.get(id);
    if (connection === undefined || !connection.open) return;
    if (!this.#node(rank).sender.available.has(chunk)) this.#violations.push(`node ${rank} sent chunk ${chunk} without having it`);
    connection.inFlight += 1;
    this.#inFlightMax = Math.max(this.#inFlightMax, connection.inFlight);
    if (connection.inFlight > creditChunks)
      this.#violations.push(`${connection.inFlight} chunks on their way with credits for ${creditChunks}`);
    if (connection.dead) return;
    connection.freeMs =
      Math.max(connection.freeMs, this.#nowMs) +
      chunkMs * (slow?.nodeRank === connection.receiver ? slow.times : 1) * (0.5 + this.#random());
    this.#at(connection.freeMs + latencyMs, () => {
      if (!connection.open) return;
      if (this.#strikes("cut", faults.cut)) this.#close(connection, "reset");
      else this.#on(connection.receiver, () => this.#deliver(connection, chunk));
    });
  }

  #deliver(connection: Connection, chunk: number): void {
    const { receiver, source } = connection;
    if (!connection.open) return;
    if (this.#strikes("corrupt", this.#simulation.faults.corrupt)) {
      this.#leave(connection);
      this.#node(receiver).pull = null;
      this.#receiver(receiver, { type: "corrupt", source, chunk });
      return;
    }
    connection.inFlight -= 1;
    const fresh = !this.#node(receiver).receiver.received.has(chunk);
    if (!fresh) this.#repeated += 1;
    this.#at(this.#nowMs + this.#simulation.latencyMs, () =>
      this.#on(source, () => connection.open && this.#sender(source, { type: "acknowledged", subscription: connection.id, chunk })),
    );
    this.#receiver(receiver, { type: "chunk", source, chunk });
    if (fresh) this.#sender(receiver, { type: "available", chunk });
  }

  /** The receiver closes. */
  #leave(connection: Connection): void {
    connection.open = false;
    if (connection.subscribed) {
      this.#at(this.#nowMs + this.#simulation.latencyMs, () =>
        this.#on(connection.source, () => this.#sender(connection.source, { type: "gone", subscription: connection.id })),
      );
    }
  }

  /** Both ends find it closed. */
  #close(connection: Connection, reason: string): void {
    if (!connection.open) return;
    this.#leave(connection);
    const { receiver, source } = connection;
    this.#at(this.#nowMs, () =>
      this.#on(receiver, () => {
        if (this.#node(receiver).pull !== connection) return;
        this.#node(receiver).pull = null;
        this.#receiver(receiver, { type: "broken", source, reason });
      }),
    );
  }
}
