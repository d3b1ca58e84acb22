/** Where a node's ranks wait until the node knows its place in the job: a launcher below has given ranks out, and only they know which. */
import { DistributionError } from "@rankcast/core";
import { type ErrorRecord, toErrorRecord } from "@rankcast/core/runtime";
import type { ConnectionListener, RankConnection, RankMessage } from "../grpc/coordination-server.ts";
import { toWireError } from "../round/root-cause.ts";

/** Of so many missing ranks the message names the local rank. */
const NAMED_MAX = 16;

/** What a lobby is told. */
export interface LobbyOptions {
  readonly localWorldSize: number;
  /** Where the node cannot be opened before all its ranks have come; null: it is opened without them. */
  readonly full: {
    /** How long after the first rank the last may come: one that was never started would keep the others for ever. */
    readonly joinTimeoutMs: number;
    /** Told the node's ranks, by local rank, once all have come. */
    onFull(ranks: readonly number[]): void;
  } | null;
}

/** See the module comment. */
export class Lobby implements ConnectionListener {
  readonly #options: LobbyOptions;
  #timer: NodeJS.Timeout | null = null;
  readonly #here = new Set<RankConnection>();
  #ranks: number[] = [];
  #queue: ((target: ConnectionListener) => void)[] = [];
  #target: ConnectionListener | null = null;
  #refusal: ErrorRecord | null = null;
  #empty: (() => void) | null = null;

  constructor(options: LobbyOptions) {
    this.#options = options;
  }

  onJoin(connection: RankConnection): void {
    const { rank, localRank } = connection.hello;
    this.#here.add(connection);
    if (this.#refusal) this.#abort(connection, this.#refusal);
    this.#pass((target) => target.onJoin(connection));
    if (this.#refusal || this.#isFull) return;
    this.#ranks[localRank] ??= rank;
    const { full } = this.#options;
    if (full === null) return;
    // One that comes again when all had left waits for the others anew.
    this.#timer ??= setTimeout(() => this.refuse(toErrorRecord(this.#missing(full.joinTimeoutMs))), full.joinTimeoutMs);
    if (!this.#isFull) return;
    this.#stopTimer();
    full.onFull(this.#ranks);
  }

  onMessage(connection: RankConnection, message: RankMessage): void {
    this.#pass((target) => target.onMessage(connection, message));
  }

  onEnd(connection: RankConnection, reason?: string): void {
    this.#here.delete(connection);
    this.#pass((target) => target.onEnd(connection, reason));
    if (this.#here.size > 0) return;
    // Nobody waits any more; a timer would keep the process.
    this.#stopTimer();
    this.#empty?.();
  }

  /** The node has its place: everything goes on to its coordinator, what has been said already first. */
  open(target: ConnectionListener): void {
    this.#target = target;
    for (const event of this.#queue.splice(0)) event(target);
  }

  /** The node has no place: all ranks, and those that come later, are told why. */
  refuse(error: ErrorRecord): void {
    this.#refusal = error;
    this.#queue = [];
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
    return Object.keys(this.#ranks).length === this.#options.localWorldSize;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
  }

  #missing(joinTimeoutMs: number): DistributionError {
    const { localWorldSize } = this.#options;
    const joinedRanks = this.#ranks.filter((rank) => rank !== undefined);
    const missingLocalRanks = Array.from({ length: localWorldSize }, (_, localRank) => localRank).filter(
      (localRank) => this.#ranks[localRank] === undefined,
    );
    const named = missingLocalRanks.slice(0, NAMED_MAX).join(", ") + (missingLocalRanks.length > NAMED_MAX ? ", ..." : "");
    const text = `${missingLocalRanks.length} of the ${localWorldSize} ranks of this node did not join within ${joinTimeoutMs / 1000} s: local rank ${named}`;
    return new DistributionError("RANKCAST_RANKS_MISSING", text, { details: { missingLocalRanks, joinedRanks, joinTimeoutMs } });
  }

  #abort(connection: RankConnection, error: ErrorRecord): void {
    connection.send({ type: "aborted", cause: toWireError(error) });
  }

  #pass(event: (target: ConnectionListener) => void): void {
    if (this.#target) event(this.#target);
    else if (!this.#refusal) this.#queue.push(event);
  }
}
