/**
 * A rank's conversation with its coordinator: barriers that resolve or reject alike on every rank, and published weights.
 * Only the coordinator decides and times out; when it is gone, everything waiting rejects and nothing new is accepted.
 */
import { type CheckpointError, DistributionError } from "@rankcast/core";
import {
  type ChannelListener,
  type CoordinatorChannel,
  type CoordinatorMessage,
  type Decision,
  type Hello,
  type Offer,
  type Offered,
  openCoordinatorChannel,
  type Published,
} from "../grpc/coordinator-channel.ts";
import { ArrivalBoard } from "./arrival-board.ts";
import { type FailureListener, FailureListeners } from "./failure-listeners.ts";
import { awaitTurn, type Waiter } from "./waiter.ts";
import { fromWireError, toWireError } from "./wire-error.ts";

/** What a rank brings to a barrier. */
export interface Arrival {
  /** Name of the barrier; each use of a name is its next generation, counted here. */
  readonly barrier: string;
  /** How long others may keep this rank waiting without a sign of progress; the coordinator's default when left out. */
  readonly timeoutMs?: number;
  /** Equal on all ranks, or the barrier fails naming both sides. */
  readonly digest: string;
  /** This rank failed: the barrier fails for everyone with the first such cause. */
  readonly failure?: unknown;
  /** JSON value for the coordinator. */
  readonly payload?: unknown;
}

/** What a subscription hears. */
export interface SubscriptionListener {
  /** A version to take; it stays as it is until `taken` of a later one that does not name it as still in use beside. */
  onOffered(offered: Offered): void;
  /** A newer version exists, which comes after the one being taken. */
  onNewest(number: number): void;
  /** The next version could not be brought to this node: nothing comes any more. */
  onEnded(error: Error): void;
}

/** Where a rank is in its job. */
export interface RankPlace {
  readonly nodeRank: number;
  readonly nodeCount: number;
}

/** Opens a channel; replaced in tests. */
export type OpenChannel = (address: string, token: string, listener: ChannelListener) => CoordinatorChannel;

/** See the module comment. Made by `openRankSession`. */
export class RankSession {
  readonly #channel: CoordinatorChannel;
  readonly #decisions = new Map<string, Waiter<unknown>>();
  readonly #generations = new Map<string, number>();
  // One promise per decision that is only listened for: rounds that pass without the barrier would pile up listeners otherwise.
  readonly #listening = new Map<string, Promise<unknown>>();
  readonly #failureListeners = new FailureListeners();
  readonly #publications = new Map<number, Waiter<Published>>();
  // Publications that came before anyone asked: another rank started the round.
  readonly #early = new Map<number, Published>();
  /** What is here of weights that are not published yet. */
  readonly arrivals = new ArrivalBoard();
  readonly #subscriptions = new Map<number, SubscriptionListener>();
  #subscriptionCount = 0;
  #offers: { onFreed(offer: number): void; onFailed(error: Error): void } | null = null;
  #failure: Error | null = null;
  #over = false;
  #closing = false;
  #welcome: Waiter<void> | null;
  #place: RankPlace = { nodeRank: 0, nodeCount: 1 };
  #barrierTimeoutMs = Number.POSITIVE_INFINITY;

  private constructor(address: string, token: string, welcome: Waiter<void>, open: OpenChannel) {
    this.#welcome = welcome;
    this.#channel = open(address, token, { onMessage: (message) => this.#receive(message), onEnd: (error) => this.#end(error) });
  }

  /**
   * Joins the coordinator; resolves when it has accepted this rank.
   * @throws {DistributionError} RANKCAST_TOKEN_REFUSED, RANKCAST_DUPLICATE_RANK, RANKCAST_PROTOCOL or RANKCAST_COORDINATOR_LOST.
   */
  static async open(address: string, token: string, hello: Hello, open: OpenChannel = openCoordinatorChannel): Promise<RankSession> {
    let session: RankSession | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        session = new RankSession(address, token, { resolve, reject }, open);
        session.#channel.send({ ...hello, takesArriving: true });
      });
    } catch (error) {
      // A coordinator in a thread of this process leaves when its ranks have left: one that was told no, too.
      await session?.close();
      throw error;
    }
    return session as RankSession;
  }

  /** Where the coordinator says this rank is. */
  get place(): RankPlace {
    return this.#place;
  }

  /** How long others wait at a barrier for a rank without a sign of progress; infinite when the coordinator does not tell. */
  get barrierTimeoutMs(): number {
    return this.#barrierTimeoutMs;
  }

  /**
   * Stands at a barrier until it is decided. Resolves with the coordinator's payload on every rank or rejects with the same root cause
   * on every rank.
   * @throws {CheckpointError} the root cause; {DistributionError} RANKCAST_COORDINATOR_LOST when the decision cannot be learned.
   */
  arrive(arrival: Arrival): Promise<unknown> {
    const { barrier, digest, payload } = arrival;
    const generation = this.#nextGeneration(barrier);
    this.#generations.set(barrier, generation);
    const decided = this.#wait(this.#decisions, decisionKey(barrier, generation));
    this.#channel.send({
      type: "arrive",
      barrier,
      generation,
      digest,
      ...(arrival.failure === undefined ? {} : { failure: toWireError(arrival.failure) }),
      ...(payload === undefined ? {} : { payload }),
      ...(arrival.timeoutMs === undefined ? {} : { timeoutMs: arrival.timeoutMs }),
    });
    return decided;
  }

  /** Listens for the next decision of a barrier without arriving: how a rank learns that a round failed before it got to the barrier. */
  nextDecision(barrier: string): Promise<unknown> {
    const key = decisionKey(barrier, this.#nextGeneration(barrier));
    const open = this.#listening.get(key);
    if (open) return open;
    const decided = this.#wait(this.#decisions, key);
    this.#listening.set(key, decided);
    const forget = (): void => void this.#listening.delete(key);
    decided.then(forget, forget);
    return decided;
  }

  /** Hears when the next decision of a barrier is a failure, without arriving; call the returned function to hear no more. */
  onFailedDecision(barrier: string, listener: FailureListener): () => void {
    return this.#failureListeners.on(decisionKey(barrier, this.#nextGeneration(barrier)), () => this.nextDecision(barrier), listener);
  }

  /** Asks for weights; the first rank's request starts the work. `published` waits for them. */
  requestLoad(sequence: number, weights: string, options: unknown, digest: string): void {
    if (!this.#over) this.#channel.send({ type: "load", sequence, weights, options, digest });
  }

  /** Waits for manifest and segments of a round that some rank started. */
  published(sequence: number): Promise<Published> {
    const early = this.#early.get(sequence);
    this.#early.delete(sequence);
    return early ? Promise.resolve(early) : this.#wait(this.#publications, sequence);
  }

  /** Offers weights from this rank's memory to everyone. */
  publish(sequence: number, manifest: Uint8Array, placement: unknown): void {
    this.#channel.send({ type: "publication", sequence, manifest, placement });
  }

  /** Publishes weights without waiting for anybody; `hearOffers` tells when the memory may be written again. */
  offer(offer: Omit<Offer, "type">): void {
    if (!this.#over) this.#channel.send({ type: "offer", ...offer });
  }

  /** Hears which of this rank's offers nobody looks at any more, and once why nothing can succeed any more, unless this side has left. */
  hearOffers(listener: { onFreed(offer: number): void; onFailed(error: Error): void }): void {
    this.#offers = listener;
    if (this.#failure) listener.onFailed(this.#failure);
  }

  /** Asks for published weights; they go to `listener` until `unsubscribe`. Gives the subscription's id. */
  subscribe(policy: string, listener: SubscriptionListener): number {
    this.#subscriptionCount += 1;
    const subscription = this.#subscriptionCount;
    this.#subscriptions.set(subscription, listener);
    if (!this.#over) this.#channel.send({ type: "subscribe", subscription, policy });
    return subscription;
  }

  /** Says that all replicas use a version now, so that the one before may be written over. */
  taken(subscription: number, number: number, beside: readonly number[]): void {
    if (!this.#over) this.#channel.send({ type: "taken", subscription, number, beside });
  }

  /** Ends a subscription; nothing may look at its weights any more. */
  unsubscribe(subscription: number): void {
    this.#subscriptions.delete(subscription);
    if (!this.#over && !this.#closing) this.#channel.send({ type: "unsubscribe", subscription });
  }

  /** Stops waiting for a publication (the round failed). */
  forget(sequence: number): void {
    this.#publications.delete(sequence);
    this.#early.delete(sequence);
    this.arrivals.over(sequence);
  }

  /** Says what this rank is doing; shown to people and named when it holds others up. */
  reportPhase(phase: string): void {
    if (!this.#over) this.#channel.send({ type: "progress", phase });
  }

  /** Ends the job for everyone with `error` as root cause. */
  abort(error: unknown): void {
    if (!this.#over) this.#channel.send({ type: "abort", cause: toWireError(error) });
  }

  /** Leaves in order. Safe to call twice. */
  async close(): Promise<void> {
    if (this.#closing || this.#over) return;
    this.#closing = true;
    this.#channel.send({ type: "leave" });
    await this.#channel.close();
  }

  #nextGeneration(barrier: string): number {
    return (this.#generations.get(barrier) ?? 0) + 1;
  }

  #wait<K, T>(waiters: Map<K, Waiter<T>>, key: K): Promise<T> {
    return this.#failure ? Promise.reject(this.#failure) : awaitTurn(waiters, key);
  }

  #receive(message: CoordinatorMessage): void {
    switch (message.type) {
      case "welcome":
        this.#place = { nodeRank: message.nodeRank, nodeCount: message.nodeCount };
        this.#barrierTimeoutMs = message.barrierTimeoutMs || Number.POSITIVE_INFINITY;
        this.#welcome?.resolve();
        this.#welcome = null;
        return;
      case "arriving":
        this.arrivals.hear(message);
        return;
      case "published": {
        const waiter = this.#publications.get(message.sequence);
        this.#publications.delete(message.sequence);
        if (waiter) waiter.resolve(message);
        else this.#early.set(message.sequence, message);
        return;
      }
      case "aborted":
        this.#fail(fromWireError(message.cause));
        return;
      case "offered":
        this.#subscriptions.get(message.subscription)?.onOffered(message);
        return;
      case "newest":
        this.#subscriptions.get(message.subscription)?.onNewest(message.number);
        return;
      case "subscriptionEnded":
        this.#subscriptions.get(message.subscription)?.onEnded(fromWireError(message.cause));
        return;
      case "freed":
        this.#offers?.onFreed(message.offer);
        return;
      case "decision":
        this.#settle(message);
    }
  }

  #settle(decision: Decision): void {
    const key = decisionKey(decision.barrier, decision.generation);
    const waiter = this.#decisions.get(key);
    this.#decisions.delete(key);
    if (decision.passed) waiter?.resolve(decision.payload);
    else waiter?.reject(fromWireError(decision.cause));
  }

  #end(error: CheckpointError | null): void {
    this.#over = true;
    this.#fail(error ?? new DistributionError("RANKCAST_COORDINATOR_LOST", "the coordinator closed the stream"));
  }

  /** Nothing can succeed any more: the first reason is kept, everything waiting and everything later rejects with it. */
  #fail(error: Error): void {
    if (this.#failure === null && !this.#closing) this.#offers?.onFailed(error);
    this.#failure ??= error;
    const lost = this.#failure;
    this.#welcome?.reject(lost);
    this.#welcome = null;
    for (const waiter of [...this.#decisions.values(), ...this.#publications.values()]) waiter.reject(lost);
    this.#decisions.clear();
    this.#publications.clear();
  }
}

function decisionKey(barrier: string, generation: number): string {
  return `${generation} ${barrier}`;
}
