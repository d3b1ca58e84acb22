/** What arrives of weights before they are published, by round. It may come before anybody listens (another rank started the round), and after. */
import type { Arriving } from "../grpc/coordinator-channel.ts";

/** Hears what is here. */
export type ArrivalListener = (message: Arriving) => void;

/** See the module comment. */
export class ArrivalBoard {
  readonly #kept = new Map<number, Arriving[]>();
  readonly #listeners = new Map<number, ArrivalListener>();
  #lastOver = 0;

  /** A message has come. */
  hear(message: Arriving): void {
    const { sequence } = message;
    if (sequence <= this.#lastOver) return;
    const listener = this.#listeners.get(sequence);
    const kept = this.#kept.get(sequence);
    if (listener) listener(message);
    else if (kept) kept.push(message);
    else this.#kept.set(sequence, [message]);
  }

  /** Listens to a round, to what came before as well. */
  listen(sequence: number, listener: ArrivalListener): void {
    this.#listeners.set(sequence, listener);
    for (const message of this.#kept.get(sequence) ?? []) listener(message);
    this.#kept.delete(sequence);
  }

  /** Nobody wants to hear of this round and those before it. */
  over(sequence: number): void {
    this.#lastOver = Math.max(this.#lastOver, sequence);
    for (const each of [this.#kept, this.#listeners]) for (const key of each.keys()) if (key <= sequence) each.delete(key);
  }
}
