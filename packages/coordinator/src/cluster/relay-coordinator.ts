/**
 * The coordinator of a node that is not the head. Its ranks talk to it as they would to the head; what they say goes on over the node's one
 * stream, and what the head says comes back. Only weights stay here: where they lie differs from node to node.
 */
import { DistributionError, type LoadReportFields } from "@rankcast/core";
import { asCheckpointError, type ErrorRecord } from "@rankcast/core/runtime";
import type { NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { FetchWeights } from "../fetch/fetch-weights.ts";
import type { HeadMessage, NodeMessage } from "../grpc/cluster-server.ts";
import {
  type ConnectionListener,
  type CoordinatorMessage,
  PROTOCOL_VERSION,
  type RankConnection,
  type RankMessage,
} from "../grpc/coordination-server.ts";
import type { CoordinatorEvent } from "../node/coordinator-event.ts";
import type { CoordinatorMemory } from "../round/coordinator-memory.ts";
import { phaseAfter } from "../round/rank-phase.ts";
import { fromWireError, toWireError } from "../round/root-cause.ts";
import { LiveSegments } from "./live-segments.ts";
import { RelayWeights } from "./relay-weights.ts";
import { RoundLineage } from "./round-lineage.ts";

/** What decides a relay. */
export interface RelayOptions {
  readonly jobId: string;
  readonly epoch: number;
  readonly nodeRank: number;
  /** This node's ranks; the position is the local rank. */
  readonly ranks: readonly number[];
  readonly fetch: FetchWeights;
  readonly broadcast: NodeBroadcast;
  readonly send: (message: NodeMessage) => void;
  readonly memory: CoordinatorMemory;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
}

const NOTHING = { pssBytes: 0, peakRssBytes: 0 };
const UNCOUNTED: CoordinatorMemory = { before: () => NOTHING, after: () => NOTHING };

/** See the module comment. */
export class RelayCoordinator implements ConnectionListener {
  readonly #options: RelayOptions;
  readonly #connections = new Map<number, RankConnection>();
  readonly #weights: RelayWeights;
  readonly #live: LiveSegments;
  #lost = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    const { nodeRank, fetch, broadcast, send, onEvent } = options;
    this.#live = new LiveSegments(broadcast, send);
    this.#weights = new RelayWeights({
      nodeRank,
      fetch,
      broadcast,
      lineage: new RoundLineage(broadcast),
      send,
      listener: {
        onPhase: (phase) => onEvent?.({ type: "phase", phase }),
        onBytes: (bytes, totalBytes) => onEvent?.({ type: "bytes", bytes, totalBytes }),
      },
      tellRanks: (message) => this.#tellRanks(message),
      // A coordinator in a rank's process is counted by that rank.
      memory: () => ([...this.#connections.values()].some(({ hello }) => hello.pid === process.pid) ? UNCOUNTED : options.memory),
    });
  }

  onJoin(connection: RankConnection): void {
    const { rank } = connection.hello;
    const wrong = this.#refusal(connection);
    if (wrong) {
      connection.refuse(wrong.kind, wrong.text);
      return;
    }
    this.#connections.set(rank, connection);
    this.#options.onEvent?.({ type: "rank", rank, phase: "joined" });
    this.#options.send({ type: "rank", rank, message: connection.hello });
  }

  /** Takes a rank's message. @throws {DistributionError} RANKCAST_PROTOCOL for one that may not come now. */
  onMessage(connection: RankConnection, message: RankMessage): void {
    const { rank } = connection.hello;
    switch (message.type) {
      case "hello":
        throw new DistributionError("RANKCAST_PROTOCOL", "hello must come once", {});
      case "publication":
        this.#weights.own(rank, message);
        return;
      case "load":
        this.#weights.request(message);
        break;
      case "progress":
        this.#enter(rank, message.phase);
        break;
      case "arrive":
        this.#enter(rank, phaseAfter(message));
        break;
    }
    this.#options.send({ type: "rank", rank, message: message.type === "arrive" ? this.#weights.annotate(message) : message });
  }

  onEnd(connection: RankConnection, reason?: string): void {
    const { rank } = connection.hello;
    if (this.#connections.get(rank) !== connection) return;
    this.#connections.delete(rank);
    this.#options.onEvent?.({ type: "rank", rank, phase: "left" });
    this.#options.send({ type: "gone", rank, ...(reason === undefined ? {} : { reason }) });
  }

  /** Takes a message of the head that is about ranks or weights. */
  hear(message: HeadMessage): void {
    switch (message.type) {
      case "rank":
        this.#deliver(message.rank, message.message);
        return;
      case "rankRefused": {
        const connection = this.#connections.get(message.rank);
        if (message.kind === "") connection?.end();
        else connection?.refuse(message.kind, message.text);
        return;
      }
      case "offer":
        this.#weights.take(message);
        return;
      case "release":
        this.#weights.release(message.sequence);
        return;
      case "over":
        this.#weights.end(message.sequence, message.passed);
        return;
      case "liveEncode":
      case "liveServe":
      case "liveBring":
      case "liveDrop":
        this.#live.take(message);
    }
  }

  /** The head is gone: no rank can learn what was decided, so none may go on. */
  lose(cause: ErrorRecord): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#weights.close();
    this.#live.close();
    this.#deliver(null, { type: "aborted", cause: toWireError(cause) });
  }

  /** Ends everything that is open. */
  close(): void {
    this.#weights.close();
    this.#live.close();
    this.#options.broadcast.generations.forgetAll();
    for (const connection of this.#connections.values()) connection.end();
  }

  #deliver(rank: number | null, message: CoordinatorMessage): void {
    if (rank === null) {
      this.#show(message);
      this.#tellRanks(message);
      return;
    }
    const connection = this.#connections.get(rank);
    connection?.send(message);
    if (message.type === "welcome") for (const missed of this.#weights.missed()) connection?.send(missed);
  }

  /** What the owner of this node wants to know of what all ranks are told. */
  #show(message: CoordinatorMessage): void {
    const { onEvent } = this.#options;
    if (message.type === "decision" && message.passed && message.barrier.startsWith("round/") && message.payload !== undefined) {
      onEvent?.({ type: "report", report: message.payload as LoadReportFields });
    } else if ((message.type === "decision" && !message.passed) || message.type === "aborted") {
      const { cause } = message;
      if (cause) onEvent?.({ type: "failed", error: asCheckpointError(fromWireError(cause)) });
    }
  }

  #tellRanks(message: CoordinatorMessage): void {
    const phase = phaseAfter(message);
    for (const [rank, connection] of this.#connections) {
      this.#enter(rank, phase);
      connection.send(message);
    }
  }

  #enter(rank: number, phase: string | null): void {
    if (phase !== null) this.#options.onEvent?.({ type: "rank", rank, phase });
  }

  #refusal({ hello }: RankConnection): { kind: "protocol" | "duplicate"; text: string } | null {
    const { jobId, epoch, ranks } = this.#options;
    if (this.#lost) return { kind: "protocol", text: "the job is over on this node" };
    if (hello.protocol !== PROTOCOL_VERSION) {
      return { kind: "protocol", text: `this coordinator speaks protocol ${PROTOCOL_VERSION}, the rank ${hello.protocol}` };
    }
    if (hello.jobId !== jobId) return { kind: "protocol", text: "the rank belongs to another job" };
    if (hello.epoch !== epoch) return { kind: "protocol", text: `the job is in epoch ${epoch}, the rank in ${hello.epoch}` };
    if (hello.localWorldSize !== ranks.length || ranks[hello.localRank] !== hello.rank) {
      const text = `this node has ranks ${ranks.join(",")}, the rank says it is ${hello.rank}, ${hello.localRank} of ${hello.localWorldSize}`;
      return { kind: "protocol", text };
    }
    return this.#connections.has(hello.rank) ? { kind: "duplicate", text: `rank ${hello.rank} has joined already` } : null;
  }
}
