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
import { type EventBody, isOpen, type NetworkHost, SimulatedNetwork } from "./simulated-network.ts";
import type { SimulatedNode as Node } from "./simulated-node.ts";
import { chance, type Faults, type Outcome, type Simulation } from "./simulation.ts";

/** Runs until nothing more happens. */
export function simulate(simulation: Simulation): Outcome {
  return new Cluster(simulation).run();
}

class Cluster {
  readonly #simulation: Simulation;
  readonly #random: () => number;
  readonly #nodes: Node[] = [];
  readonly #network: SimulatedNetwork;
  readonly #completedMs: (number | null)[];
  readonly #failed: (string | null)[];
  readonly #violations: string[] = [];
  readonly #fired = new Set<keyof Faults>();
  readonly #queue = new EventQueue();
  #nowMs = 0;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#random = chance(simulation.seed);
    this.#network = new SimulatedNetwork(this.#networkHost());
    const { nodes, chunks, owners, faults, halt, connections = 1 } = simulation;
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
      const options = { ...RECEIVER_TIMES, giveUpMs: 120_000, chunkCount: chunks, own, sources, connections };
      this.#nodes.push({
        receiver: createReceiverState(options, startMs),
        sender: createSenderState({ layout: plan.layout, stallMs: 10_000, connections }),
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
      repeated: this.#network.repeated,
      inFlightMax: this.#network.inFlightMax,
      violations: this.#violations,
      fired: this.#fired,
    };
  }

  #networkHost(): NetworkHost {
    const now = (): number => this.#nowMs;
    return {
      simulation: this.#simulation,
      violations: this.#violations,
      get nowMs() {
        return now();
      },
      node: (rank) => this.#node(rank),
      random: this.#random,
      strikes: (fault, odds) => this.#strikes(fault, odds),
      at: (atMs, run) => this.#at(atMs, run),
      on: (rank, run) => this.#on(rank, run),
      receiver: (rank, event) => this.#receiver(rank, event),
      sender: (rank, event) => this.#sender(rank, event),
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
    this.#network.cutOff(rank);
  }

  #receiver(rank: number, event: EventBody<ReceiverEvent>): void {
    const node = this.#node(rank);
    const step = stepReceiver(node.receiver, { ...event, nowMs: this.#nowMs } as ReceiverEvent);
    node.receiver = step.state;
    for (const instruction of step.instructions) {
      switch (instruction.type) {
        case "pull":
          if (node.pull && isOpen(node.pull)) this.#violations.push(`node ${rank} pulls twice`);
          this.#network.pull(rank, instruction.source, instruction.connections, instruction.want);
          break;
        case "connect":
          if (node.pull) this.#network.connect(node.pull, instruction.connection, instruction.want);
          break;
        case "reask":
          if (node.pull) this.#network.reask(node.pull, instruction.connection, instruction.missing);
          break;
        case "probe":
          this.#network.probe(rank, instruction.source, instruction.want);
          break;
        case "stop":
          for (const connection of node.pull?.connections.values() ?? []) this.#network.leave(connection);
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
      if (instruction.type === "send") this.#network.send(instruction.subscription, instruction.connection, instruction.chunk);
      else if (instruction.type === "setTimer") {
        this.#setTimer(rank, "senderTimer", instruction.dueMs, () => this.#sender(rank, { type: "timer" }));
      } else if (instruction.type === "cut") {
        const { subscription, reason } = instruction;
        if (reason === "protocol") this.#violations.push(`node ${rank} cut subscription ${subscription} for what it said`);
        this.#network.cut(subscription, instruction.connection);
      }
    }
  }
}
