/** How many range requests run at once: more as long as more brings more, fewer when the server pushes back. Pure. */

/** One connection alone is watched for this long: enough to see whether it is the network that is waited for. */
const FIRST_EPOCH_MS = 50;
/** Measured over at least this long before each later decision. */
const EPOCH_MS = 250;
/** More connections must bring at least this much more, else they only cost. */
const GAIN = 1.1;
/** Bytes per millisecond that a processor moves without effort: below it, a busy processor is somebody else's work, and more connections may still help. */
const EFFORTLESS = 256 * 1024;

/** What is known at the end of an epoch. */
export interface EpochLoad {
  /** The network was not what was waited for: this thread, the disk or the hash had no time for more. More connections would only cost. */
  readonly saturated: boolean;
}

/** Doubles from 1 up to a maximum while the rate grows with it; stays while we are the slower side; halves and stays on push-back (429, 503, resets). */
export class ConnectionWindow {
  /** Requests allowed now. */
  allowed = 1;
  readonly #max: number;
  readonly #load: () => EpochLoad;
  #growing = true;
  #epochMs: number;
  #epochBytes = 0;
  /** The rate of the last epoch in which fewer were allowed. */
  #rateBefore = 0;

  constructor(max: number, nowMs: number, load: () => EpochLoad = () => ({ saturated: false })) {
    this.#max = max;
    this.#load = load;
    this.#epochMs = nowMs;
  }

  /** Bytes arrived. Returns whether `allowed` grew. */
  received(bytes: number, nowMs: number): boolean {
    this.#epochBytes += bytes;
    const elapsedMs = nowMs - this.#epochMs;
    if (!this.#growing || elapsedMs < (this.allowed === 1 ? FIRST_EPOCH_MS : EPOCH_MS)) return false;
    const rate = this.#epochBytes / elapsedMs;
    this.#epochMs = nowMs;
    this.#epochBytes = 0;
    const { saturated } = this.#load();
    if (saturated && rate > EFFORTLESS) return false;
    this.#growing = rate >= this.#rateBefore * GAIN && this.allowed < this.#max;
    this.#rateBefore = rate;
    if (!this.#growing) return false;
    this.allowed = Math.min(this.allowed * 2, this.#max);
    return true;
  }

  /** The server refused or dropped a connection. */
  pushedBack(): void {
    this.#growing = false;
    this.allowed = Math.max(1, Math.floor(this.allowed / 2));
  }
}
