/** What a node says in one turn of its event loop goes to the head together, and ranks that say the same at once say it in one message. */
import type { Arrive, NodeMessage, RankMessage } from "@rankcast/proto";

/**
 * Keeps order. A barrier of many ranks arrives in few turns: without this every rank's arrival would be a message, a frame and a system call of its own at both
 * ends, and that is most of what a barrier costs.
 */
export class TurnQueue {
  readonly #send: (message: NodeMessage) => void;
  #waiting: NodeMessage[] = [];
  #turn: NodeJS.Immediate | null = null;

  constructor(send: (message: NodeMessage) => void) {
    this.#send = send;
  }

  /** Goes out when this turn's input has been read. */
  add(message: NodeMessage): void {
    const last = this.#waiting.at(-1);
    const joined = last && together(last, message);
    if (joined) this.#waiting[this.#waiting.length - 1] = joined;
    else this.#waiting.push(message);
    this.#turn ??= setImmediate(() => this.flush());
  }

  /** Sends what waits, now. */
  flush(): void {
    if (this.#turn) clearImmediate(this.#turn);
    this.#turn = null;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const message of waiting) this.#send(message);
  }
}

/** Two messages as one; null when they are different things. */
function together(first: NodeMessage, second: NodeMessage): NodeMessage | null {
  if (first.type !== "rank" || second.type !== "rank" || second.also) return null;
  if (!isPlainArrival(first.message) || !isPlainArrival(second.message) || !isSame(first.message, second.message)) return null;
  // The list is this queue's own: it grows in place, or many ranks would copy it many times.
  const also = first.also ?? [];
  (also as number[]).push(second.rank);
  return first.also ? first : { ...first, also };
}

function isPlainArrival(message: RankMessage): message is Arrive {
  return message.type === "arrive" && message.failure === undefined && message.payload === undefined;
}

function isSame(one: Arrive, other: Arrive): boolean {
  const { barrier, generation, digest, timeoutMs } = one;
  return barrier === other.barrier && generation === other.generation && digest === other.digest && timeoutMs === other.timeoutMs;
}
