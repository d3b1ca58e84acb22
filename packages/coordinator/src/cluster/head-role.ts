/** The head node: its listener, the streams of all other nodes, the rendezvous, and the job's one coordinator in each epoch. */
import type { ErrorRecord, MemberNode, Membership } from "@rankcast/core/runtime";
import type { NodeBroadcast } from "../broadcast/node-broadcast.ts";
import { type ClusterServer, type HeadMessage, type NodeMessage, startClusterServer } from "../grpc/cluster-server.ts";
import { PROTOCOL_VERSION } from "../grpc/coordination-server.ts";
import { formatLinkAddress } from "../link/link-key.ts";
import { type LinkListener, listenForLinks } from "../link/link-listener.ts";
import { Refusals } from "../link/refusals.ts";
import { NodeCoordinator } from "../node/node-coordinator.ts";
import { FarRanks } from "./far-ranks.ts";
import type { JobNodeOptions, NodeRole, Uplink, UplinkListener } from "./job-node.ts";
import { LinkPlanner } from "./link-planner.ts";
import { LiveCaster } from "./live-caster.ts";
import { LiveSegments } from "./live-segments.ts";
import { NodeCaster } from "./node-caster.ts";
import { RendezvousDriver } from "./rendezvous-driver.ts";
import { RoundLineage } from "./round-lineage.ts";

/** What the head is told beside what every node is. */
export interface HeadOptions {
  readonly options: JobNodeOptions;
  /** Where to listen. */
  readonly listenHost: string;
  readonly port: number;
  /** The host as other nodes dial it. */
  readonly reachableHost: string;
  /** Whether nodes that look for this job are to find it: from when it listens until nodes begin to leave. */
  onOpen(open: boolean): void;
}

/** See the module comment. */
export class HeadRole implements NodeRole {
  readonly #head: HeadOptions;
  readonly #driver: RendezvousDriver;
  readonly #server: ClusterServer;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #far = new Map<string, FarRanks>();
  readonly #refusals: Refusals;
  #listener: LinkListener | null = null;
  #coordinator: NodeCoordinator | null = null;
  #self: UplinkListener | null = null;

  private constructor(head: HeadOptions) {
    this.#head = head;
    const { key, nodeCount, worldSize, maxRestarts, firstEpoch, joinTimeoutMs, silenceMs, heartbeatMs, onEvent } = head.options;
    this.#refusals = new Refusals((refusals) => onEvent?.({ type: "refused", refusals }));
    const machine = {
      jobId: key.jobId,
      protocol: PROTOCOL_VERSION,
      nodeCount,
      worldSize,
      maxRestarts,
      firstEpoch,
      joinTimeoutMs,
      silenceMs,
    };
    this.#driver = new RendezvousDriver(machine, {
      now: () => performance.now(),
      onStart: (membership) => this.#start(membership),
      onFailed: (cause) => this.#fail(cause),
      onOpen: (open) => head.onOpen(open),
      onNodeLost: (node, cause, silence) => this.#lose(node, cause, silence),
      onNodeMessage: (nodeId, message) => this.#far.get(nodeId)?.hear(message),
      onRejoin: (nodeId) => void this.#far.delete(nodeId),
    });
    const seats = new Map<object, ReturnType<RendezvousDriver["connect"]>>();
    this.#server = startClusterServer({
      onMessage: (stream, message) => {
        const seat = seats.get(stream) ?? this.#driver.connect(stream);
        seats.set(stream, seat);
        seat.hear(message);
      },
      onEnd: (stream, reason) => {
        seats.get(stream)?.lose(reason);
        seats.delete(stream);
      },
    });
    this.#heartbeat = setInterval(() => {
      for (const line of this.#driver.lines.values()) line.send({ type: "heartbeat" });
    }, heartbeatMs);
    this.#heartbeat.unref();
  }

  /**
   * Binds the head's listener.
   * @throws {UsageError} RANKCAST_UNPROTECTED; {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address is taken.
   */
  static async open(head: HeadOptions): Promise<HeadRole> {
    const role = new HeadRole(head);
    try {
      role.#listener = await listenForLinks({
        address: formatLinkAddress(head.listenHost, head.port),
        key: head.options.key,
        onLink: (kind, socket) => (kind === "grpc" ? role.#server.inject(socket) : socket.destroy()),
        onRefused: (refusal) => role.#refusals.take(refusal),
      });
    } catch (error) {
      await role.#close();
      throw error;
    }
    head.onOpen(true);
    return role;
  }

  get listenHost(): string {
    return this.#head.listenHost;
  }

  get reachableHost(): string {
    return this.#head.reachableHost;
  }

  get headAddress(): string {
    return formatLinkAddress(this.reachableHost, this.#listener?.port ?? this.#head.port);
  }

  open(self: UplinkListener): Uplink {
    this.#self = self;
    const later = (work: () => void): void => queueMicrotask(work);
    const seat = this.#driver.connect({ send: (message) => later(() => self.hear(message)), end: () => undefined });
    // A node that does not need a network has no silence either.
    const beat = setInterval(() => seat.hear({ type: "heartbeat" }), this.#head.options.heartbeatMs);
    beat.unref();
    this.#driver.begin();
    return {
      send: (message: NodeMessage) => later(() => seat.hear(message)),
      close: async () => {
        clearInterval(beat);
        await this.#close();
      },
    };
  }

  /** The epoch's coordinator was made when the rendezvous said so, for other nodes' ranks may be first. */
  coordinate(membership: Membership, rankEpoch: number, broadcast: NodeBroadcast): NodeCoordinator {
    const { options } = this.#head;
    const { key, fetch, memory, onEvent, barrierTimeoutMs } = options;
    const nodeRank = 0;
    const links = new LinkPlanner(options.linkConnections);
    const others = new NodeCaster({
      membership,
      nodeRank,
      broadcast,
      links,
      lineage: new RoundLineage(broadcast),
      listener: {
        onPhase: (phase) => onEvent?.({ type: "phase", phase }),
        onBytes: (bytes, totalBytes) => onEvent?.({ type: "bytes", bytes, totalBytes }),
      },
      send: (nodeId, message) => this.#driver.lines.get(nodeId)?.send(message),
    });
    const { topology } = membership;
    const own = new LiveSegments(broadcast, (message) =>
      message.type === "liveEncoded" ? coordinator.nodeEncoded(message) : coordinator.nodeBrought(nodeRank, message),
    );
    const live = new LiveCaster(membership, links, (target, command) => {
      const node = membership.nodes[target];
      if (target === nodeRank) own.take(command);
      else if (node) this.#driver.lines.get(node.nodeId)?.send(command);
    });
    const coordinator: NodeCoordinator = new NodeCoordinator({
      jobId: key.jobId,
      epoch: rankEpoch,
      worldSize: topology.worldSize,
      localWorldSize: topology.nodes[nodeRank]?.ranks.length ?? 0,
      place: { nodeRank, topology, others, live },
      fetch,
      memory,
      onEvent,
      barrierTimeoutMs,
    });
    this.#coordinator = coordinator;
    this.#far.clear();
    for (const node of membership.nodes) {
      if (node.nodeRank === nodeRank) continue;
      const send = (message: HeadMessage): void => this.#driver.lines.get(node.nodeId)?.send(message);
      this.#far.set(node.nodeId, new FarRanks(coordinator, node.nodeRank, { send, links }));
    }
    return coordinator;
  }

  /** Tells this node first and at once: what other nodes' ranks say needs its coordinator. */
  #start(membership: Membership): void {
    this.#self?.hear({ type: "start", membership });
  }

  #fail(cause: ErrorRecord): void {
    this.#coordinator?.abort(cause);
  }

  #lose(node: MemberNode, cause: ErrorRecord, silence: string | undefined): void {
    this.#far.delete(node.nodeId);
    this.#coordinator?.loseNode(node.nodeRank, node.pid, { cause, silence });
  }

  async #close(): Promise<void> {
    clearInterval(this.#heartbeat);
    // A head that could not listen has left no notice: the one that lies there is another's.
    if (this.#listener) this.#head.onOpen(false);
    for (const line of this.#driver.lines.values()) line.end();
    this.#driver.close();
    await this.#server.close();
    await this.#listener?.close();
    this.#refusals.close();
  }
}
