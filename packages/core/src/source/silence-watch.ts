/** Notices that nothing arrives. */

/**
 * Calls back once when one wait lasts `idleMs`. A wait starts with `await()` and ends with `pause()`; time in which nobody waits (a slow disk, a
 * busy consumer) does not count. One timer for the whole exchange: starting a wait costs an assignment.
 *
 * A blocked event loop is not silence: before it fires, the watch lets the sockets deliver what arrived meanwhile.
 */
export class SilenceWatch {
  /** Whether it fired. */
  expired = false;
  readonly #idleMs: number;
  readonly #onSilence: () => void;
  #waitingSince: number | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(idleMs: number, onSilence: () => void) {
    this.#idleMs = idleMs;
    this.#onSilence = onSilence;
  }

  /** Something is waited for from now on. */
  await(): void {
    this.#waitingSince = performance.now();
    this.#timer ??= setTimeout(() => this.#check(), this.#idleMs);
  }

  /** It came. */
  pause(): void {
    this.#waitingSince = null;
  }

  /** Nothing is waited for any more; never fires again. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #check(): void {
    this.#timer = undefined;
    if (this.#closed || this.#waitingSince === null) return;
    const since = this.#waitingSince;
    const remaining = since + this.#idleMs - performance.now();
    if (remaining > 0) {
      this.#timer = setTimeout(() => this.#check(), Math.ceil(remaining));
      return;
    }
    // Timers run before sockets are read, setImmediate after; the second one gives the streams in between a full turn. If bytes were
    // there, the wait has ended by then.
    setImmediate(() => setImmediate(() => this.#confirm(since)));
  }

  #confirm(since: number): void {
    if (this.#closed) return;
    if (this.#waitingSince === since) {
      this.expired = true;
      this.#onSilence();
    } else if (this.#waitingSince !== null) {
      this.#timer ??= setTimeout(() => this.#check(), this.#idleMs);
    }
  }
}
