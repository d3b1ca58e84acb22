/** A node's part in the rendezvous: joins epochs, learns who takes part, hears when to stop. The head node has one too. */
import { CheckpointError, DistributionError } from "@rankcast/core";
import { type Membership, toErrorRecord } from "@rankcast/core/runtime";
import type { HeadMessage, NodeJoin, NodeMessage } from "../grpc/cluster-server.ts";
import { fromWireError, toWireError } from "../round/root-cause.ts";

/** One epoch of the job, as a node sees it. */
export interface NodeEpoch {
  readonly membership: Membership;
  /** Aborted with the cause when the node must stop its ranks. */
  readonly stop: AbortSignal;
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** What the owner of an agent hears. */
export interface AgentListener {
  onWait(joined: number, nodeCount: number): void;
  /** The epoch has begun; called before whoever waits for it goes on, and before any other message of the epoch. */
  onStart(membership: Membership): void;
}

/** See the module comment. */
export class NodeAgent {
  readonly #announcement: Omit<NodeJoin, "type" | "epoch">;
  readonly #send: (message: NodeMessage) => void;
  readonly #listener: AgentListener;
  /** Which epoch to join next; null for the first join, undefined while the last one is not over. */
  #next: number | null | undefined = null;
  #running: { readonly membership: Membership; readonly stop: AbortController } | null = null;
  #joining: Waiter<NodeEpoch> | null = null;
  #over: { readonly error: CheckpointError | null } | null = null;
  #confirm: (() => void) | null = null;

  constructor(announcement: Omit<NodeJoin, "type" | "epoch">, send: (message: NodeMessage) => void, listener: AgentListener) {
    this.#announcement = announcement;
    this.#send = send;
    this.#listener = listener;
  }

  /** How the job ended; null while it has not. */
  get over(): { readonly error: CheckpointError | null } | null {
    return this.#over;
  }

  /**
   * Takes part in the next epoch; its ranks of the one before must have ended.
   * @throws {CheckpointError} when the node is refused, the nodes do not come together, or the job is over.
   */
  join(): Promise<NodeEpoch> {
    return new Promise((resolve, reject) => {
      this.#joining = { resolve, reject };
      if (this.#over)
        this.#refuse(this.#over.error ?? new DistributionError("RANKCAST_JOB_FULL", "the job has already ended with success"));
      else if (this.#next !== undefined) this.#join(this.#next);
    });
  }

  /** This node's ranks have failed. */
  fail(error: Error): void {
    if (this.#running && !this.#over)
      this.#send({ type: "report", epoch: this.#running.membership.epoch, failure: toWireError(toErrorRecord(error)) });
  }

  /** This node's ranks have ended well; resolves when the job is over, or when the epoch failed elsewhere (`stop` says so). */
  confirm(): Promise<void> {
    const running = this.#running;
    if (!running || this.#over || running.stop.signal.aborted) return Promise.resolve();
    this.#send({ type: "report", epoch: running.membership.epoch });
    return new Promise((resolve) => {
      this.#confirm = resolve;
    });
  }

  /** Ends the job for all nodes. */
  abort(error: Error): void {
    if (!this.#over) this.#send({ type: "abort", cause: toWireError(toErrorRecord(error)) });
  }

  /** Takes a message of the head. */
  hear(message: HeadMessage): void {
    switch (message.type) {
      case "wait":
        this.#listener.onWait(message.joined, message.nodeCount);
        return;
      case "start":
        this.#start(message.membership as Membership);
        return;
      case "restart":
        this.#next = message.epoch;
        this.#stop(asError(fromWireError(message.cause)));
        if (this.#joining) this.#join(message.epoch);
        return;
      case "end":
        this.#end(message.cause === undefined ? null : asError(fromWireError(message.cause)));
        return;
      case "refused":
        this.#end(asError(fromWireError(message.cause)));
    }
  }

  /** The head is gone: the job is over for this node. */
  lose(error: CheckpointError): void {
    if (!this.#over) this.#end(error);
  }

  #join(epoch: number | null): void {
    this.#send({ type: "join", ...this.#announcement, epoch });
  }

  #start(membership: Membership): void {
    if (this.#running?.membership.epoch === membership.epoch) return;
    this.#next = undefined;
    const stop = new AbortController();
    this.#running = { membership, stop };
    this.#listener.onStart(membership);
    this.#joining?.resolve({ membership, stop: stop.signal });
    this.#joining = null;
  }

  #stop(error: CheckpointError): void {
    this.#running?.stop.abort(error);
    this.#confirm?.();
    this.#confirm = null;
  }

  #end(error: CheckpointError | null): void {
    this.#over ??= { error };
    if (error) this.#stop(error);
    if (error) this.#refuse(error);
    this.#confirm?.();
    this.#confirm = null;
  }

  #refuse(error: CheckpointError): void {
    this.#joining?.reject(error);
    this.#joining = null;
  }
}

function asError(error: Error): CheckpointError {
  return error instanceof CheckpointError ? error : new DistributionError("RANKCAST_RANK_FAILED", error.message, { cause: error });
}
