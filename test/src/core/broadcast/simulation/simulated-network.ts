/** The network of a simulated cluster: links, their connections, and what chance does to them. */
import type { ChunkSet, ReceiverEvent, SenderEvent } from "@rankcast/core/internal";
import type { SimulatedConnection as Connection, SimulatedLink as Link, SimulatedNode as Node } from "./simulated-node.ts";
import type { Faults, Simulation } from "./simulation.ts";

/** Event without its time, which is now. */
export type EventBody<T> = T extends unknown ? Omit<T, "nowMs"> : never;

/** The cluster around it. */
export interface NetworkHost {
  readonly simulation: Simulation;
  readonly nowMs: number;
  readonly violations: string[];
  node(rank: number): Node;
  random(): number;
  strikes(fault: keyof Faults, odds: number): boolean;
  at(atMs: number, run: () => void): void;
  /** Runs on a node: not at all when it is dead, later when it stands still. */
  on(rank: number, run: () => void): void;
  receiver(rank: number, event: EventBody<ReceiverEvent>): void;
  sender(rank: number, event: EventBody<SenderEvent>): void;
}

/** See the module comment. */
export class SimulatedNetwork {
  readonly #host: NetworkHost;
  readonly #links = new Map<number, Link>();
  /** Chunks that came more often than once. */
  repeated = 0;
  /** Most chunks on their way over one link. */
  inFlightMax = 0;

  constructor(host: NetworkHost) {
    this.#host = host;
  }

  /** Everything that goes to or from a node breaks. */
  cutOff(rank: number): void {
    for (const link of this.#links.values()) {
      if (link.receiver !== rank && link.source !== rank) continue;
      for (const connection of link.connections.values()) this.close(connection, "the other node ended");
    }
  }

  /** The sender closes a connection. */
  cut(subscription: number, number: number): void {
    const connection = this.#links.get(subscription)?.connections.get(number);
    if (connection) this.close(connection, "cut");
  }

  /** A receiver opens a link. */
  pull(rank: number, source: number, connections: readonly number[], want: ChunkSet): void {
    const link: Link = { subscription: this.#links.size + 1, receiver: rank, source, connections: new Map(), freeMs: 0 };
    this.#links.set(link.subscription, link);
    this.#host.node(rank).pull = link;
    for (const number of connections) this.connect(link, number, want);
  }

  /** One more connection of a link. */
  connect(link: Link, number: number, want: ChunkSet): void {
    const { latencyMs, faults, creditChunks } = this.#host.simulation;
    const { receiver, source, subscription } = link;
    const dead = this.#host.strikes("blackhole", faults.blackhole);
    const connection: Connection = { number, link, open: true, subscribed: false, dead, inFlight: new Set() };
    if (link.connections.has(number)) this.#host.violations.push(`node ${receiver} uses connection ${number} twice`);
    link.connections.set(number, connection);
    if (this.#host.nowMs >= this.#host.node(source).diesMs) {
      this.#host.at(this.#host.nowMs + 2 * latencyMs, () => this.close(connection, "refused"));
      return;
    }
    // The handshakes of one link are not equally fast.
    const atMs = Math.max(this.#host.nowMs + (2 + (number === 0 ? 0 : this.#host.random())) * latencyMs, this.#host.node(source).startMs);
    this.#host.at(atMs, () =>
      this.#host.on(source, () => {
        if (!connection.open) return;
        connection.subscribed = true;
        this.#host.sender(source, {
          type: "subscribe",
          subscription,
          connection: number,
          nodeRank: receiver,
          want,
          creditBytes: creditChunks,
        });
      }),
    );
  }

  /** A receiver says over a connection that lives that one is lost. */
  reask(link: Link, connection: number, missing: ChunkSet): void {
    const { source, subscription } = link;
    const bearer = [...link.connections.values()].find(({ open, subscribed }) => open && subscribed);
    if (!bearer) return;
    this.#host.at(this.#host.nowMs + this.#host.simulation.latencyMs, () =>
      this.#host.on(source, () => bearer.open && this.#host.sender(source, { type: "lost", subscription, connection, missing })),
    );
  }

  /** A question over a connection of its own. */
  probe(rank: number, source: number, want: ChunkSet): void {
    const { latencyMs } = this.#host.simulation;
    const answer = (available: number | null): void =>
      this.#host.at(this.#host.nowMs + latencyMs, () =>
        this.#host.on(rank, () => this.#host.receiver(rank, { type: "have", source, available })),
      );
    this.#host.at(this.#host.nowMs + latencyMs, () => {
      if (this.#host.nowMs >= this.#host.node(source).diesMs) answer(null);
      else this.#host.on(source, () => answer(want.and(this.#host.node(source).sender.available).count));
    });
  }

  /** A sender sends a chunk. */
  send(subscription: number, number: number, chunk: number): void {
    const { chunkMs, latencyMs, faults, creditChunks, slow } = this.#host.simulation;
    const link = this.#links.get(subscription);
    const connection = link?.connections.get(number);
    if (!link?.connections || !connection?.open) return;
    const { source, receiver } = link;
    if (!this.#host.node(source).sender.available.has(chunk))
      this.#host.violations.push(`node ${source} sent chunk ${chunk} without having it`);
    const open = [...link.connections.values()].filter((each) => each.open);
    if (open.some(({ inFlight }) => inFlight.has(chunk)))
      this.#host.violations.push(`chunk ${chunk} is on its way to node ${receiver} twice`);
    connection.inFlight.add(chunk);
    const inFlight = open.reduce((sum, each) => sum + each.inFlight.size, 0);
    this.inFlightMax = Math.max(this.inFlightMax, inFlight);
    if (inFlight > creditChunks) this.#host.violations.push(`${inFlight} chunks on their way with credits for ${creditChunks}`);
    if (connection.dead) return;
    link.freeMs =
      Math.max(link.freeMs, this.#host.nowMs) + chunkMs * (slow?.nodeRank === receiver ? slow.times : 1) * (0.5 + this.#host.random());
    this.#host.at(link.freeMs + latencyMs, () => {
      if (!connection.open) return;
      if (this.#host.strikes("cut", faults.cut)) this.close(connection, "reset");
      else this.#host.on(receiver, () => this.#deliver(connection, chunk));
    });
  }

  #deliver(connection: Connection, chunk: number): void {
    const { receiver, source, subscription } = connection.link;
    if (!connection.open) return;
    if (this.#host.strikes("corrupt", this.#host.simulation.faults.corrupt)) {
      this.leave(connection);
      this.#host.receiver(receiver, { type: "corrupt", source, connection: connection.number, chunk });
      return;
    }
    const fresh = !this.#host.node(receiver).receiver.received.has(chunk);
    if (!fresh) this.repeated += 1;
    this.#host.at(this.#host.nowMs + this.#host.simulation.latencyMs, () =>
      this.#host.on(source, () => {
        if (!connection.open) return;
        connection.inFlight.delete(chunk);
        this.#host.sender(source, { type: "acknowledged", subscription, connection: connection.number, chunk });
      }),
    );
    this.#host.receiver(receiver, { type: "chunk", source, connection: connection.number, chunk });
    if (fresh) this.#host.sender(receiver, { type: "available", chunk });
  }

  /** The receiver closes. */
  leave(connection: Connection): void {
    const { source, subscription } = connection.link;
    if (connection.open && connection.subscribed) {
      this.#host.at(this.#host.nowMs + this.#host.simulation.latencyMs, () =>
        this.#host.on(source, () => this.#host.sender(source, { type: "gone", subscription, connection: connection.number })),
      );
    }
    connection.open = false;
  }

  /** Both ends find it closed. */
  close(connection: Connection, reason: string): void {
    if (!connection.open) return;
    this.leave(connection);
    const { link, number } = connection;
    const { receiver, source } = link;
    this.#host.at(this.#host.nowMs, () =>
      this.#host.on(receiver, () => {
        if (this.#host.node(receiver).pull === link) this.#host.receiver(receiver, { type: "broken", source, connection: number, reason });
      }),
    );
  }
}

/** Whether any of its connections is. */
export function isOpen(link: Link): boolean {
  return [...link.connections.values()].some(({ open }) => open);
}
