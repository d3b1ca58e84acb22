/**
 * Watches over the ranks of this node that nothing is heard of because they have been stopped (SIGSTOP): their connections stay open, and their event
 * loops may rest for as long as they like when they run, so silence tells nothing. The kernel does. A rank that stays stopped is lost like one
 * that has ended, and is told so should it go on.
 */
import { StoppedWatch } from "@rankcast/core/runtime";
import type { ConnectionListener, RankConnection, RankMessage } from "../grpc/coordination-server.ts";
import { lostRank, toWireError } from "../round/root-cause.ts";

/** How to watch. */
export interface RankWatchOptions {
  /** How long a rank may be stopped. */
  readonly silenceMs: number;
  /** Replaced in tests. */
  readonly watch?: (tag: string, intervalMs: number) => Pick<StoppedWatch, "look" | "heard">;
}

const INTERVAL_MS = 1000;

/** See the module comment: stands between the server and whoever listens. */
export class RankWatch implements ConnectionListener {
  readonly #target: ConnectionListener;
  readonly #silenceMs: number;
  readonly #intervalMs: number;
  readonly #watchOf: NonNullable<RankWatchOptions["watch"]>;
  readonly #watched = new Map<RankConnection, Pick<StoppedWatch, "look" | "heard">>();
  readonly #timer: NodeJS.Timeout;

  constructor(target: ConnectionListener, { silenceMs, watch = (tag, intervalMs) => new StoppedWatch(tag, intervalMs) }: RankWatchOptions) {
    this.#target = target;
    this.#silenceMs = silenceMs;
    this.#intervalMs = Math.min(INTERVAL_MS, silenceMs / 4);
    this.#watchOf = watch;
    this.#timer = setInterval(() => this.look(performance.now()), this.#intervalMs);
    this.#timer.unref();
  }

  onJoin(connection: RankConnection): void {
    this.#watched.set(connection, this.#watchOf(connection.hello.incarnation, this.#intervalMs));
    this.#target.onJoin(connection);
  }

  onMessage(connection: RankConnection, message: RankMessage): void {
    // What one that was given up had sent before counts no more.
    const watch = this.#watched.get(connection);
    if (watch === undefined) return;
    watch.heard();
    this.#target.onMessage(connection, message);
  }

  onEnd(connection: RankConnection, reason?: string): void {
    if (this.#watched.delete(connection)) this.#target.onEnd(connection, reason);
  }

  /** Looks at all ranks. */
  look(nowMs: number): void {
    for (const [connection, watch] of this.#watched) {
      const stoppedMs = watch.look(nowMs);
      if (stoppedMs >= this.#silenceMs) this.#giveUp(connection, `has been stopped for ${(stoppedMs / 1000).toFixed(1)} s`);
    }
  }

  /** Looks no more. */
  close(): void {
    clearInterval(this.#timer);
  }

  #giveUp(connection: RankConnection, reason: string): void {
    this.onEnd(connection, reason);
    connection.send({ type: "aborted", cause: toWireError(lostRank(connection.hello, reason)) });
    connection.end();
  }
}
