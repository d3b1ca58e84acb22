/** Ranks of one other node, as the head sees them: connections like those of its own ranks, over that node's stream. */
import type { CheckpointError } from "@rankcast/core";
import { asCheckpointError } from "@rankcast/core/runtime";
import type { HeadMessage, NodeMessage } from "../grpc/cluster-server.ts";
import type { FarNode, Hello, RankConnection, RankMessage } from "../grpc/coordination-server.ts";
import type { NodeCoordinator } from "../node/node-coordinator.ts";
import type { DescribedWeights, NodeFacts } from "../round/other-nodes.ts";
import { fromWireError } from "../round/root-cause.ts";
import type { LinkPlanner } from "./link-planner.ts";

/** What the head gives. */
export interface FarRanksHost {
  /** To the node. */
  send(message: HeadMessage): void;
  readonly links: LinkPlanner;
}

/** See the module comment. One per node and epoch. */
export class FarRanks {
  readonly #coordinator: NodeCoordinator;
  readonly #far: FarNode;
  readonly #send: (message: HeadMessage) => void;
  readonly #links: LinkPlanner;
  readonly #connections = new Map<number, RankConnection>();

  constructor(coordinator: NodeCoordinator, nodeRank: number, { send, links }: FarRanksHost) {
    this.#coordinator = coordinator;
    this.#send = send;
    this.#links = links;
    this.#far = { nodeRank, sendToRanks: (message) => send({ type: "rank", rank: null, message }) };
  }

  /** Takes a message about the node's ranks or weights. */
  hear(message: NodeMessage): void {
    const { nodeRank } = this.#far;
    switch (message.type) {
      case "rank":
        this.#hearRank(message.rank, message.message);
        for (const rank of message.also ?? []) this.#hearRank(rank, message.message);
        return;
      case "gone":
        this.#end(message.rank, message.reason);
        return;
      case "ready": {
        const facts = message.facts as NodeFacts;
        if (facts.roundTripMs !== undefined) this.#links.learn(nodeRank, facts.roundTripMs);
        this.#coordinator.nodeReady(nodeRank, message.sequence, facts);
        return;
      }
      case "failed":
        this.#coordinator.nodeFailed(nodeRank, message.sequence, asCheckpointError(fromWireError(message.cause)) as CheckpointError);
        return;
      case "owned": {
        const placed = message.placement as Omit<DescribedWeights, "manifest">;
        this.#coordinator.nodeOwns(nodeRank, message.rank, message.sequence, { ...placed, manifest: message.manifest });
        return;
      }
      case "liveBrought":
        this.#coordinator.nodeBrought(nodeRank, message);
        return;
      case "liveEncoded":
        this.#coordinator.nodeEncoded(message);
    }
  }

  #hearRank(rank: number, message: RankMessage): void {
    const connection = this.#connections.get(rank);
    if (message.type === "hello") this.#join(rank, message);
    else if (connection) this.#attempt(connection, () => this.#coordinator.onMessage(connection, message));
  }

  #join(rank: number, hello: Hello): void {
    const connection: RankConnection = {
      hello: { ...hello, rank, nodeRank: this.#far.nodeRank },
      far: this.#far,
      send: (message) => this.#send({ type: "rank", rank, message }),
      refuse: (kind, text) => {
        this.#send({ type: "rankRefused", rank, kind, text });
        this.#end(rank);
      },
      end: () => this.#send({ type: "rankRefused", rank, kind: "", text: "" }),
    };
    this.#connections.set(rank, connection);
    this.#attempt(connection, () => this.#coordinator.onJoin(connection));
  }

  #attempt(connection: RankConnection, work: () => void): void {
    try {
      work();
    } catch (error) {
      connection.refuse("protocol", asCheckpointError(error).message);
    }
  }

  #end(rank: number, reason?: string): void {
    const connection = this.#connections.get(rank);
    this.#connections.delete(rank);
    if (connection) this.#coordinator.onEnd(connection, reason);
  }
}
