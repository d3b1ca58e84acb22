/** A node of a job: its stream to the head (or the head itself), its part in the rendezvous, and a coordinator for its ranks in each epoch. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import { type CheckpointError, DistributionError } from "@rankcast/core";
import { type Membership, toErrorRecord } from "@rankcast/core/runtime";
import type { NodeBroadcast } from "../broadcast/node-broadcast.ts";
import type { FetchWeights } from "../fetch/fetch-weights.ts";
import type { HeadMessage, NodeMessage } from "../grpc/cluster-server.ts";
import { type ConnectionListener, PROTOCOL_VERSION } from "../grpc/coordination-server.ts";
import { formatLinkAddress, type LinkKey } from "../link/link-key.ts";
import type { CoordinatorEvent } from "../node/coordinator-event.ts";
import type { NodeCoordinator } from "../node/node-coordinator.ts";
import type { CoordinatorMemory } from "../round/coordinator-memory.ts";
import { NodeAgent, type NodeEpoch } from "./node-agent.ts";
import { RelayCoordinator } from "./relay-coordinator.ts";

/** What a node knows of its job before it has met the others. */
export interface JobNodeOptions {
  readonly key: LinkKey;
  /** Null: not known; then the job is whole when `worldSize` ranks are there. */
  readonly nodeCount: number | null;
  /** Null: what the nodes bring. */
  readonly worldSize: number | null;
  /** Null: to be given one. */
  readonly nodeRank: number | null;
  readonly localWorldSize: number;
  /** Null: ranks in node order. */
  readonly ranks: readonly number[] | null;
  readonly maxRestarts: number;
  /** Of the job's first epoch; later ones count up. */
  readonly firstEpoch: number;
  readonly joinTimeoutMs: number;
  /** How long a node may be silent. */
  readonly silenceMs: number;
  readonly heartbeatMs: number;
  readonly barrierTimeoutMs: number;
  readonly noMmap: boolean;
  /** Connections of each link between nodes, as the head says; null: planned. */
  readonly linkConnections: number | null;
  readonly fetch: FetchWeights;
  readonly memory: CoordinatorMemory;
  readonly onEvent?: ((event: CoordinatorEvent) => void) | undefined;
}

/** One epoch on this node. */
export interface JobEpoch extends NodeEpoch {
  readonly nodeRank: number;
  /** What this node's ranks talk to. */
  readonly ranks: ConnectionListener;
  /** Ends the node's coordinator of this epoch. */
  close(): void;
}

/** How a node reaches the head: over a stream, or because it is the head. */
export interface Uplink {
  send(message: NodeMessage): void;
  close(): Promise<void>;
}

/** What an uplink tells. */
export interface UplinkListener {
  hear(message: HeadMessage): void;
  /** The head is gone. */
  lose(error: CheckpointError): void;
}

/** What makes a node the head or another one. */
export interface NodeRole {
  /** Where this node listens for other nodes: a host of its own. */
  readonly listenHost: string;
  /** The same as other nodes dial it. */
  readonly reachableHost: string;
  /** Where nodes find the head. */
  readonly headAddress: string;
  /** Opens the way to the head, which ends when the node closes. */
  open(node: UplinkListener): Uplink;
  /** The coordinator of an epoch; null: the head's is elsewhere, this node relays. */
  coordinate(membership: Membership, rankEpoch: number, broadcast: NodeBroadcast): NodeCoordinator | null;
}

const SETTLE_POLL_MS = 10;

/** See the module comment. */
export class JobNode {
  readonly nodeId: string;
  readonly #options: JobNodeOptions;
  readonly #role: NodeRole;
  readonly #agent: NodeAgent;
  readonly #uplink: Uplink;
  readonly #broadcast: NodeBroadcast;
  #relay: RelayCoordinator | null = null;
  #current: { readonly ranks: ConnectionListener; close(): void } | null = null;
  #rankEpoch = 0;
  #head: { readonly host: string; readonly pid: number } | null = null;

  /** `broadcast` is the node's data plane; it ends with the node. */
  constructor(options: JobNodeOptions, role: NodeRole, broadcast: NodeBroadcast) {
    this.nodeId = randomUUID();
    this.#broadcast = broadcast;
    this.#options = options;
    this.#role = role;
    const { key, nodeCount, worldSize, nodeRank, localWorldSize, ranks } = options;
    const announcement = {
      nodeId: this.nodeId,
      jobId: key.jobId,
      protocol: PROTOCOL_VERSION,
      nodeCount,
      nodeRank,
      host: hostname(),
      pid: process.pid,
      address: formatLinkAddress(role.reachableHost, broadcast.lanePort),
      localWorldSize,
      ranks,
      worldSize: worldSize ?? 0,
    };
    this.#agent = new NodeAgent(announcement, (message) => this.#uplink.send(message), {
      onWait: (joined, count) =>
        options.onEvent?.({ type: "phase", phase: `waiting for nodes: ${joined}${count > 0 ? ` of ${count}` : ""} are there` }),
      onStart: (membership) => this.#start(membership),
    });
    this.#uplink = role.open({ hear: (message) => this.#hear(message), lose: (error) => this.#lose(error) });
  }

  /**
   * Takes part in the next epoch. `rankEpoch` is what the ranks will call it.
   * @throws {CheckpointError} when the node is refused, the others do not come, or the job is over.
   */
  async join(rankEpoch: number): Promise<JobEpoch> {
    this.#rankEpoch = rankEpoch;
    const epoch = await this.#agent.join();
    const current = this.#current;
    if (!current) throw new DistributionError("RANKCAST_PROTOCOL", "an epoch began without a coordinator", {});
    return { ...epoch, nodeRank: this.#nodeRankIn(epoch.membership), ranks: current.ranks, close: () => current.close() };
  }

  /** This node's ranks have failed. */
  fail(error: Error): void {
    this.#agent.fail(error);
  }

  /** This node's ranks have ended well; resolves when the job has, or when `stop` was aborted. @throws {CheckpointError} never. */
  confirm(): Promise<void> {
    return this.#agent.confirm();
  }

  /** Ends the job for all nodes. */
  abort(error: Error): void {
    this.#agent.abort(error);
  }

  /** Resolves when the job is over, or after `timeoutMs`. */
  async settle(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!this.over && performance.now() < deadlineMs) await setTimeout(SETTLE_POLL_MS);
  }

  /** Where nodes find the head. */
  get headAddress(): string {
    return this.#role.headAddress;
  }

  /** How the job ended; null while it has not. */
  get over(): { readonly error: CheckpointError | null } | null {
    return this.#agent.over;
  }

  /** Leaves. Before the end of the job that is the loss of this node. */
  async close(): Promise<void> {
    this.#current?.close();
    await this.#broadcast.close();
    await this.#uplink.close();
  }

  #nodeRankIn({ nodes }: Membership): number {
    return nodes.find(({ nodeId }) => nodeId === this.nodeId)?.nodeRank ?? 0;
  }

  #hear(message: HeadMessage): void {
    this.#agent.hear(message);
    this.#relay?.hear(message);
  }

  #lose(error: CheckpointError): void {
    if (this.#agent.over) return;
    const cause = this.#headLost(error);
    this.#relay?.lose(toErrorRecord(cause));
    this.#agent.lose(cause);
  }

  /** Nobody knows what the head had decided; all that is known is who it was. */
  #headLost(error: CheckpointError): CheckpointError {
    const place = this.#head;
    if (!place) return error;
    const text = `lost the head node, node 0 (${place.host}, pid ${place.pid}), while the job ran`;
    const rootCause = { rank: null, nodeRank: 0, host: place.host, pid: place.pid, code: "RANKCAST_COORDINATOR_LOST", message: text };
    return new DistributionError("RANKCAST_COORDINATOR_LOST", text, { details: { ...error.details, rootCause }, cause: error });
  }

  /** Runs before any other message of the epoch is heard. */
  #start(membership: Membership): void {
    const nodeRank = this.#nodeRankIn(membership);
    this.#current?.close();
    this.#broadcast.assign(nodeRank);
    const [head] = membership.nodes;
    this.#head = head ?? null;
    const coordinator = this.#role.coordinate(membership, this.#rankEpoch, this.#broadcast);
    if (coordinator) {
      this.#current = { ranks: coordinator, close: () => this.#end(coordinator) };
      return;
    }
    const relay = this.#newRelay(membership, nodeRank, this.#broadcast);
    this.#relay = relay;
    this.#current = { ranks: relay, close: () => relay.close() };
  }

  #end(coordinator: NodeCoordinator): void {
    coordinator.close();
    this.#broadcast.generations.forgetAll();
  }

  #newRelay(membership: Membership, nodeRank: number, broadcast: NodeBroadcast): RelayCoordinator {
    const { key, fetch, memory, onEvent } = this.#options;
    return new RelayCoordinator({
      jobId: key.jobId,
      epoch: this.#rankEpoch,
      nodeRank,
      ranks: membership.nodes[nodeRank]?.ranks ?? [],
      fetch,
      broadcast,
      send: (message) => this.#uplink.send(message),
      memory,
      onEvent,
    });
  }
}
