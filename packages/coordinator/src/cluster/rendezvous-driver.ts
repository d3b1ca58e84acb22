/** Drives the rendezvous machine on the head node: turns messages of nodes into events, instructions into messages, and owns the timer. */
import { type CheckpointError, DistributionError } from "@rankcast/core";
import {
  createRendezvousState,
  type ErrorRecord,
  jobOutcomeError,
  type MemberNode,
  type Membership,
  nodeFailureError,
  nodeRefusalError,
  type RendezvousEvent,
  type RendezvousInstruction,
  type RendezvousState,
  stepRendezvous,
  toErrorRecord,
} from "@rankcast/core/runtime";
import type { HeadMessage, NodeJoin, NodeMessage } from "../grpc/cluster-server.ts";
import { fromWireError, toWireError } from "../round/root-cause.ts";

/** What the owner of the driver gives and hears. */
export interface DriverHost {
  now(): number;
  /** An epoch begins; called before its nodes are told. */
  onStart(membership: Membership): void;
  /** The epoch that runs has failed: nothing may pass in it any more. */
  onFailed(cause: ErrorRecord): void;
  /** A node of the epoch that runs is gone, before `onFailed`. `silence` says for how long nothing was heard of it; undefined: its stream has ended. */
  onNodeLost(node: MemberNode, cause: ErrorRecord, silence: string | undefined): void;
  /** A message of a node that takes part, about its ranks or weights. */
  onNodeMessage(nodeId: string, message: NodeMessage): void;
  /**
   * Who comes finds a place, or is told that there is none (true, as at the beginning); or nodes of the job have begun to leave, and who comes belongs to
   * the next job that meets here (false). May be said again.
   */
  onOpen(open: boolean): void;
  /** A node's ranks of the epoch before have ended: it joins again. */
  onRejoin(nodeId: string): void;
}

/** A node's end of its stream, as the driver sees it. */
export interface NodeLine {
  send(message: HeadMessage): void;
  end(): void;
}

/** Options of the machine. */
export type DriverOptions = RendezvousState["options"];

/** Time to read what has piled up. */
const BACKLOG_MS = 50;

/** See the module comment. */
export class RendezvousDriver {
  readonly #host: DriverHost;
  readonly #lines = new Map<string, NodeLine>();
  #state: RendezvousState;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: DriverOptions, host: DriverHost) {
    this.#host = host;
    this.#state = createRendezvousState(options, Number.POSITIVE_INFINITY);
  }

  /** The join timeout begins, also where no node has come yet. A head that is slow to start must not be named among the missing. */
  begin(): void {
    this.#step({ type: "ready", nowMs: this.#host.now() });
  }

  /** Nodes with a stream. */
  get lines(): ReadonlyMap<string, NodeLine> {
    return this.#lines;
  }

  /** A stream has opened; gives what its messages and its end are told to. */
  connect(line: NodeLine): { hear(message: NodeMessage): void; lose(reason: string): void } {
    let nodeId: string | null = null;
    return {
      hear: (message) => {
        if (message.type === "join") {
          if (nodeId !== null && nodeId !== message.nodeId) throw protocol("a node changed its id");
          if (nodeId === null && this.#lines.has(message.nodeId)) throw protocol("two streams of one node");
          const again = nodeId !== null;
          nodeId = message.nodeId;
          this.#lines.set(nodeId, line);
          if (again) this.#host.onRejoin(nodeId);
          this.#join(message);
        } else if (nodeId === null) throw protocol("the first message of a node must be its announcement");
        else this.#hear(nodeId, message);
      },
      lose: (reason) => {
        if (nodeId === null || this.#lines.get(nodeId) !== line) return;
        this.#lines.delete(nodeId);
        this.#step({ type: "loss", nowMs: this.#host.now(), nodeId, reason });
      },
    };
  }

  /** Stops the timer. */
  close(): void {
    clearTimeout(this.#timer);
  }

  #join(message: NodeJoin): void {
    const { type: _, epoch, worldSize, ...announcement } = message;
    const node = { ...announcement, ...(worldSize > 0 ? { worldSize } : {}) };
    this.#step({ type: "join", nowMs: this.#host.now(), node, epoch });
  }

  #hear(nodeId: string, message: Exclude<NodeMessage, NodeJoin>): void {
    const nowMs = this.#host.now();
    switch (message.type) {
      case "heartbeat":
        this.#step({ type: "heard", nowMs, nodeId });
        return;
      case "report": {
        const { epoch, failure } = message;
        const outcome = failure
          ? ({ type: "failed", error: toErrorRecord(fromWireError(failure)) } as const)
          : ({ type: "succeeded" } as const);
        this.#step({ type: "report", nowMs, nodeId, epoch, outcome });
        if (outcome.type === "succeeded" && this.#state.phase !== "gathering") this.#host.onOpen(false);
        return;
      }
      case "abort":
        this.#step({ type: "abort", nowMs, nodeId, error: toErrorRecord(fromWireError(message.cause)) });
        return;
      default:
        this.#step({ type: "heard", nowMs, nodeId });
        this.#host.onNodeMessage(nodeId, message);
    }
  }

  #step(event: RendezvousEvent): void {
    const before = this.#state;
    const { state, instructions } = stepRendezvous(before, event);
    this.#state = state;
    for (const instruction of instructions) this.#perform(instruction, before, event);
  }

  #perform(instruction: RendezvousInstruction, before: RendezvousState, event: RendezvousEvent): void {
    switch (instruction.type) {
      case "wait":
        this.#send(instruction.nodeId, { ...instruction, nodeCount: instruction.nodeCount ?? 0 });
        return;
      case "refuse":
        this.#send(instruction.nodeId, { type: "refused", cause: wire(nodeRefusalError(instruction.refusal)) });
        this.#hangUp(instruction.nodeId);
        return;
      case "start":
        if (instruction.nodeIds.length > 1 || before.phase !== "running") this.#host.onStart(instruction.membership);
        for (const nodeId of instruction.nodeIds) this.#send(nodeId, { type: "start", membership: instruction.membership });
        return;
      case "restart": {
        const error = nodeFailureError(instruction.cause);
        this.#host.onFailed(toErrorRecord(error));
        this.#host.onOpen(true);
        for (const nodeId of instruction.nodeIds) this.#send(nodeId, { type: "restart", epoch: instruction.epoch, cause: wire(error) });
        return;
      }
      case "end": {
        this.#host.onOpen(false);
        const error = jobOutcomeError(instruction.outcome);
        if (error) this.#host.onFailed(toErrorRecord(error));
        for (const nodeId of instruction.nodeIds) this.#send(nodeId, { type: "end", ...(error ? { cause: wire(error) } : {}) });
        return;
      }
      case "drop":
        this.#drop(instruction.nodeId, before, event);
        return;
      case "setTimer":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(
          () => this.#look(instruction.dueMs),
          Math.min(Math.max(0, instruction.dueMs - this.#host.now()) + 1, 2 ** 31 - 1),
        );
        this.#timer.unref();
        return;
      case "clearTimer":
        clearTimeout(this.#timer);
    }
  }

  /**
   * After a turn in which this process could not run, timers come before the signs of life that have arrived meanwhile: those are taken first. Where it
   * could not run for long, the whole machine may have stood still (a suspended one, a paused guest), nodes on it too: they get the time to say something again.
   */
  #look(dueMs: number): void {
    const pauseMs = this.#state.options.silenceMs / 4;
    const lateMs = this.#host.now() - dueMs;
    this.#timer = setTimeout(
      () => this.#step({ type: "timer", nowMs: this.#host.now() }),
      lateMs > pauseMs ? Math.max(BACKLOG_MS, pauseMs) : BACKLOG_MS,
    );
    this.#timer.unref();
  }

  /** A node is given up: its stream has ended, or it was silent. */
  #drop(nodeId: string, before: RendezvousState, event: RendezvousEvent): void {
    const node = before.membership?.nodes.find((each) => each.nodeId === nodeId);
    if (before.phase === "running" && node && before.present.get(nodeId)?.succeeded === false) {
      const { nodeRank, host, pid } = node;
      const silentMs = event.nowMs - (before.present.get(nodeId)?.heardMs ?? event.nowMs);
      const silence = event.type === "loss" ? undefined : `no sign of life for ${(silentMs / 1000).toFixed(1)} s`;
      const reason = event.type === "loss" ? event.reason : (silence ?? "");
      this.#host.onNodeLost(node, toErrorRecord(nodeFailureError({ kind: "loss", node: { nodeRank, host, pid }, reason })), silence);
    }
    this.#hangUp(nodeId);
  }

  #hangUp(nodeId: string): void {
    const line = this.#lines.get(nodeId);
    this.#lines.delete(nodeId);
    line?.end();
  }

  #send(nodeId: string, message: HeadMessage): void {
    this.#lines.get(nodeId)?.send(message);
  }
}

function wire(error: CheckpointError) {
  return toWireError(toErrorRecord(error));
}

function protocol(text: string): DistributionError {
  return new DistributionError("RANKCAST_PROTOCOL", text);
}
