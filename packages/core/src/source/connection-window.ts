/** How many range requests run at once: more as long as more brings more, fewer when the server pushes back. Pure. */

/** Measured over at least this long before the next decision. */
const EPOCH_MS = 250;
/** More connections must bring at least this much more, else they only cost. */
const GAIN = 1.1;

/** Doubles from 2 up to a maximum while the rate grows with it; halves and stays on push-back (429, 503, resets). */
export class ConnectionWindow {
  /** Requests allowed now. */
  allowed: number;
  readonly #max: number;
  #growing = true;
  #epochMs: number;
  #epochBytes = 0;
  #rateBefore = 0;

  constructor(max: number, nowMs: number) {
    this.#max = max;
    this.allowed = Math.min(2, max);
    this.#epochMs = nowMs;
  }

  /** Bytes arrived. Returns whether `allowed` grew. */
  received(bytes: number, nowMs: number): boolean {
    this.#epochBytes += bytes;
    const elapsedMs = nowMs - this.#epochMs;
    if (!this.#growing || elapsedMs < EPOCH_MS) return false;
    const rate = this.#epochBytes / elapsedMs;
    this.#growing = rate >= this.#rateBefore * GAIN && this.allowed < this.#max;
    this.#rateBefore = rate;
    this.#epochMs = nowMs;
    this.#epochBytes = 0;
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
