/**
 * The coordinator of a job: who has joined, who is gone, and what the machine decided. It runs on the job's only node or on its head node,
 * where ranks of other nodes come in through their node's stream. Knows no gRPC; connections come through `ConnectionListener`.
 */
import { type CheckpointError, DistributionError, type LoadReportFields } from "@rankcast/core";
import { asCheckpointError, type ErrorRecord, fromErrorRecord, type MemberPlace, type SegmentDescriptor } from "@rankcast/core/runtime";
import type { FetchWeights } from "../fetch/fetch-weights.ts";
import type { LiveBrought, LiveEncoded } from "../grpc/cluster-server.ts";
import {
  type ConnectionListener,
  type CoordinatorMessage,
  type FarNode,
  PROTOCOL_VERSION,
  type RankConnection,
  type RankMessage,
} from "../grpc/coordination-server.ts";
import { BarrierBoard, type BoardDecision } from "../round/barrier-board.ts";
import type { CoordinatorMemory } from "../round/coordinator-memory.ts";
import { NO_LIVE_NODES } from "../round/live-carriages.ts";
import { LiveWeights } from "../round/live-weights.ts";
import { LoadRounds } from "../round/load-rounds.ts";
import { type DescribedWeights, NO_OTHER_NODES, type NodeFacts } from "../round/other-nodes.ts";
import { phaseAfter } from "../round/rank-phase.ts";
import { abortedRank, fromWireError, lostRank, placeOf, toWireError, withRootCause } from "../round/root-cause.ts";
import type { CoordinatorEvent } from "./coordinator-event.ts";
import type { JobPlace } from "./job-place.ts";

/** What decides a node's coordinator. */
export interface NodeCoordinatorOptions {
  readonly jobId: string;
  /** Version of the membership; ranks of another epoch are refused. */
  readonly epoch: number;
  /** Ranks of the job; barriers wait for all of them. */
  readonly worldSize: number;
  /** Ranks of this node. */
  readonly localWorldSize: number;
  /** Absent: the job has one node. */
  readonly place?: JobPlace | undefined;
  readonly fetch: FetchWeights;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
  /** How long ranks may keep each other waiting at a barrier after the first has arrived. */
  readonly barrierTimeoutMs: number;
  /** What this process takes. */
  readonly memory: CoordinatorMemory;
}

interface Member {
  readonly connection: RankConnection;
  left: boolean;
}

/** Barriers of this name give every rank what all ranks brought. */
const GATHER_PREFIX = "gather/";

/** See the module comment. */
export class NodeCoordinator implements ConnectionListener {
  readonly #options: NodeCoordinatorOptions;
  readonly #members = new Map<number, Member>();
  readonly #board: BarrierBoard;
  readonly #rounds: LoadRounds;
  readonly #live: LiveWeights;

  constructor(options: NodeCoordinatorOptions) {
    this.#options = options;
    const now = (): number => performance.now();
    const nodes = options.place?.topology.nodes ?? [];
    const nodeOfRank = new Map(nodes.flatMap(({ ranks }, nodeRank) => ranks.map((rank) => [rank, nodeRank] as const)));
    this.#live = new LiveWeights({
      now,
      onChange: (change) => options.onEvent?.({ type: "live", ...change }),
      send: (rank, message) => this.#members.get(rank)?.connection.send(message),
      nodeOf: (rank) => nodeOfRank.get(rank) ?? 0,
      nodes: options.place?.live ?? NO_LIVE_NODES,
    });
    this.#board = new BarrierBoard({
      epoch: options.epoch,
      worldSize: options.worldSize,
      timeoutMs: options.barrierTimeoutMs,
      now,
      onDecision: (decision) => this.#announce(decision),
      onAborted: (cause) => {
        this.#rounds.close();
        options.onEvent?.({ type: "failed", error: asCheckpointError(fromErrorRecord(cause)) });
        this.#broadcast({ type: "aborted", cause: toWireError(cause) });
      },
      onRefused: (rank, reason) => this.#members.get(rank)?.connection.refuse("protocol", `rank ${rank} was refused: ${reason}`),
    });
    this.#rounds = new LoadRounds({
      fetch: options.fetch,
      listener: {
        onPhase: (phase) => options.onEvent?.({ type: "phase", phase }),
        onBytes: (bytes, totalBytes) => options.onEvent?.({ type: "bytes", bytes, totalBytes }),
      },
      broadcast: (message) => this.#broadcast(message),
      others: options.place?.others ?? NO_OTHER_NODES,
      admit: (rank, arrival) => this.#board.arrive(rank, arrival),
      fail: (barrier, cause, nodeRank) => this.#board.fail(barrier, withRootCause(cause, ...this.#localRankZero(nodeRank))),
      nodeCount: options.place?.topology.nodes.length ?? 1,
      members: () => new Map([...this.#members].map(([rank, { connection }]) => [rank, connection.hello])),
      now,
      memory: options.memory,
    });
  }

  onJoin(connection: RankConnection): void {
    const { hello } = connection;
    const wrong = this.#refusal(connection);
    if (wrong) {
      connection.refuse(wrong.kind, wrong.text);
      return;
    }
    this.#members.set(hello.rank, { connection, left: false });
    this.#board.join(hello);
    const { jobId, epoch, place, barrierTimeoutMs } = this.#options;
    const where = { nodeRank: hello.nodeRank, nodeCount: place?.topology.nodes.length ?? 1 };
    connection.send({ type: "welcome", protocol: PROTOCOL_VERSION, jobId, epoch, ...where, barrierTimeoutMs });
    // What was published is in reach of this node's ranks only; other nodes tell theirs.
    if (!connection.far) for (const message of this.#rounds.missed()) connection.send(message);
    this.#options.onEvent?.({ type: "rank", rank: hello.rank, phase: "joined" });
  }

  /** Takes a rank's message. @throws {DistributionError} RANKCAST_PROTOCOL for one that may not come now. */
  onMessage(connection: RankConnection, message: RankMessage): void {
    const { rank } = connection.hello;
    switch (message.type) {
      case "arrive":
        this.#enter(rank, phaseAfter(message));
        this.#rounds.arrive(rank, message);
        return;
      case "load":
        this.#rounds.request(message);
        return;
      case "publication":
        this.#rounds.publish(rank, message);
        return;
      case "progress":
        this.#enter(rank, message.phase);
        return;
      case "abort":
        this.#board.abort(rank, abortedRank(fromWireError(message.cause), connection.hello));
        return;
      case "leave": {
        const member = this.#members.get(rank);
        if (member) member.left = true;
        return;
      }
      case "offer":
        this.#live.offer(rank, message);
        return;
      case "subscribe":
        this.#live.subscribe(rank, message);
        return;
      case "taken":
        this.#live.taken(rank, message);
        return;
      case "unsubscribe":
        this.#live.unsubscribe(rank, message);
        return;
      case "hello":
        throw new DistributionError("RANKCAST_PROTOCOL", "hello must come once", {});
    }
  }

  onEnd(connection: RankConnection, reason?: string): void {
    const { rank } = connection.hello;
    const member = this.#members.get(rank);
    if (member?.connection !== connection) return;
    this.#members.delete(rank);
    this.#live.gone(rank);
    this.#options.onEvent?.({ type: "rank", rank, phase: member.left ? "left" : "lost" });
    if (member.left) this.#board.leave(rank);
    else this.#board.lose(rank, reason ?? "its connection closed", lostRank(connection.hello, reason));
  }

  /** Another node has a round's weights. */
  nodeReady(nodeRank: number, sequence: number, facts: NodeFacts): void {
    this.#rounds.nodeReady(nodeRank, sequence, facts);
  }

  /** Another node did not get a round's weights. */
  nodeFailed(nodeRank: number, sequence: number, cause: CheckpointError): void {
    this.#rounds.nodeFailed(nodeRank, sequence, cause);
  }

  /** A rank of another node offers weights. */
  nodeOwns(nodeRank: number, rank: number, sequence: number, weights: DescribedWeights): void {
    this.#rounds.nodeOwns(nodeRank, rank, sequence, weights);
  }

  /** A node has a published version, or cannot bring or serve it. */
  nodeBrought(nodeRank: number, { sequence, segments, set, cause }: LiveBrought): void {
    this.#live.brought(nodeRank, sequence, cause ? { cause } : { segments: segments as readonly SegmentDescriptor[], set: set || null });
  }

  /** A node knows how a published version differs from an earlier one. */
  nodeEncoded({ sequence, segment }: LiveEncoded): void {
    this.#options.place?.live.encoded(sequence, segment as SegmentDescriptor | null);
  }

  /** A node is gone, and its ranks with it: all fails with `cause`, unless one of them was its coordinator, whose end (or `silence`) it is then. */
  loseNode(nodeRank: number, coordinatorPid: number, { cause, silence }: { cause: ErrorRecord; silence: string | undefined }): void {
    const lost = [...this.#members.values()].filter(({ connection }) => connection.far?.nodeRank === nodeRank);
    const speaker = lost.find(({ connection }) => connection.hello.pid === coordinatorPid);
    const error = speaker ? lostRank(speaker.connection.hello, silence && `showed ${silence}`) : cause;
    this.abort(error);
    for (const { connection, left } of lost) {
      const { rank } = connection.hello;
      this.#members.delete(rank);
      this.#live.gone(rank);
      this.#options.onEvent?.({ type: "rank", rank, phase: left ? "left" : "lost" });
      if (left) this.#board.leave(rank);
      else this.#board.lose(rank, `node ${nodeRank} is gone`, error);
    }
  }

  /** Nothing may pass any more. */
  abort(cause: ErrorRecord): void {
    this.#board.abort(null, cause);
  }

  /** Ends everything that is open. */
  close(): void {
    this.#rounds.close();
    this.#live.close();
    this.#board.close();
    for (const { connection } of this.#members.values()) connection.end();
  }

  #announce({ barrier, generation, cause, payloads, onlyRank }: BoardDecision): void {
    const gathers = barrier.startsWith(GATHER_PREFIX);
    const decided = (): unknown => (gathers ? Object.fromEntries(payloads) : this.#rounds.decided(barrier, cause === null, payloads));
    const payload = onlyRank === null ? decided() : undefined;
    if (payload !== undefined && !gathers) this.#options.onEvent?.({ type: "report", report: payload as LoadReportFields });
    if (cause && onlyRank === null) this.#options.onEvent?.({ type: "failed", error: asCheckpointError(fromErrorRecord(cause)) });
    const message: CoordinatorMessage = {
      type: "decision",
      barrier,
      generation,
      passed: cause === null,
      ...(cause ? { cause: toWireError(cause) } : {}),
      ...(payload === undefined ? {} : { payload }),
    };
    if (onlyRank === null) this.#broadcast(message);
    else this.#members.get(onlyRank)?.connection.send(message);
  }

  /** Failures of a node's coordinator are those of the node's local rank 0, for which it stands. */
  #localRankZero(nodeRank = this.#options.place?.nodeRank ?? 0): [number, MemberPlace | null] {
    const hellos = [...this.#members.values()].map(({ connection }) => connection.hello);
    const zero = hellos.find((hello) => hello.localRank === 0 && (!this.#options.place || hello.nodeRank === nodeRank));
    const rank = zero?.rank ?? this.#options.place?.topology.nodes[nodeRank]?.ranks[0] ?? 0;
    return [rank, zero ? placeOf(zero) : null];
  }

  #refusal({ hello }: RankConnection): { kind: "protocol" | "duplicate"; text: string } | null {
    const { jobId, epoch, place } = this.#options;
    const ranks = place?.topology.nodes[hello.nodeRank]?.ranks;
    const localWorldSize = ranks?.length ?? this.#options.localWorldSize;
    if (hello.protocol !== PROTOCOL_VERSION)
      return { kind: "protocol", text: `this coordinator speaks protocol ${PROTOCOL_VERSION}, the rank ${hello.protocol}` };
    if (hello.jobId !== jobId) return { kind: "protocol", text: "the rank belongs to another job" };
    if (hello.epoch !== epoch) return { kind: "protocol", text: `the job is in epoch ${epoch}, the rank in ${hello.epoch}` };
    if (hello.localWorldSize !== localWorldSize || hello.localRank >= localWorldSize) {
      return {
        kind: "protocol",
        text: `this node has ${localWorldSize} ranks, the rank says it is ${hello.localRank} of ${hello.localWorldSize}`,
      };
    }
    if (place && ranks?.[hello.localRank] !== hello.rank) {
      return { kind: "protocol", text: `rank ${hello.rank} is not local rank ${hello.localRank} of node ${hello.nodeRank}` };
    }
    return this.#members.has(hello.rank) ? { kind: "duplicate", text: `rank ${hello.rank} has joined already` } : null;
  }

  #enter(rank: number, phase: string | null): void {
    if (phase !== null) this.#board.progress(rank, phase);
    this.#show(rank, phase);
  }

  #show(rank: number, phase: string | null): void {
    if (phase !== null) this.#options.onEvent?.({ type: "rank", rank, phase });
  }

  /** To every rank; once to each other node, and of what is published only to this one. */
  #broadcast(message: CoordinatorMessage): void {
    const phase = phaseAfter(message);
    const far = new Set<FarNode>();
    const near: RankConnection[] = [];
    for (const [rank, { connection }] of this.#members) {
      // A decision is said in the middle of a step of the board, which must not take another.
      if (message.type === "decision") this.#show(rank, phase);
      else if (!connection.far) this.#enter(rank, phase);
      if (connection.far) far.add(connection.far);
      else near.push(connection);
    }
    // Other nodes first: they have a hop and ranks of their own to go, while this node writes to its ranks.
    if (message.type !== "published" && message.type !== "arriving") for (const each of far) each.sendToRanks(message);
    for (const connection of near) connection.send(message);
  }
}
