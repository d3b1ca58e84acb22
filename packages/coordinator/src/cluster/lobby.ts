/** Where a node's ranks wait until the node knows its place in the job: a launcher below has given ranks out, and only they know which. */
import type { ErrorRecord } from "@rankcast/core/runtime";
import type { ConnectionListener, RankConnection, RankMessage } from "../grpc/coordination-server.ts";
import { toWireError } from "../round/root-cause.ts";

/** See the module comment. */
export class Lobby implements ConnectionListener {
  readonly #localWorldSize: number;
  readonly #onFull: (ranks: readonly number[]) => void;
  readonly #here = new Set<RankConnection>();
  #ranks: number[] = [];
  #queue: ((target: ConnectionListener) => void)[] = [];
  #target: ConnectionListener | null = null;
  #refusal: ErrorRecord | null = null;
  #empty: (() => void) | null = null;

  /** `onFull` is told the node's ranks, by local rank, once all have come. */
  constructor(localWorldSize: number, onFull: (ranks: readonly number[]) => void) {
    this.#localWorldSize = localWorldSize;
    this.#onFull = onFull;
  }

  onJoin(connection: RankConnection): void {
    const { rank, localRank } = connection.hello;
    this.#here.add(connection);
    if (this.#refusal) this.#abort(connection, this.#refusal);
    this.#pass((target) => target.onJoin(connection));
    if (this.#ranks[localRank] !== undefined) return;
    this.#ranks[localRank] = rank;
    if (this.#isFull) this.#onFull(this.#ranks);
  }

  onMessage(connection: RankConnection, message: RankMessage): void {
    this.#pass((target) => target.onMessage(connection, message));
  }

  onEnd(connection: RankConnection, reason?: string): void {
    this.#here.delete(connection);
    this.#pass((target) => target.onEnd(connection, reason));
    if (this.#here.size === 0) this.#empty?.();
  }

  /** The node has its place: everything goes on to its coordinator, what has been said already first. */
  open(target: ConnectionListener): void {
    this.#target = target;
    for (const event of this.#queue.splice(0)) event(target);
  }

  /** The node has no place: all ranks, and those that come later, are told why. */
  refuse(error: ErrorRecord): void {
    this.#refusal = error;
    for (const connection of this.#here) this.#abort(connection, error);
  }

  /** Whether every rank of the node has come, and all have left. */
  get isOver(): boolean {
    return this.#isFull && this.#here.size === 0;
  }

  /** Resolves when no rank is connected any more. */
  empty(): Promise<void> {
    return this.#here.size === 0
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#empty = resolve;
        });
  }

  get #isFull(): boolean {
    return Object.keys(this.#ranks).length === this.#localWorldSize;
  }

  #abort(connection: RankConnection, error: ErrorRecord): void {
    connection.send({ type: "aborted", cause: toWireError(error) });
  }

  #pass(event: (target: ConnectionListener) => void): void {
    if (this.#target) event(this.#target);
    else if (!this.#refusal) this.#queue.push(event);
  }
}
