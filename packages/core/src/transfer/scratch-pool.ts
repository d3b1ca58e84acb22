/** Memory for groups of small pieces, used again: a fresh MiB costs more in page faults than the read that fills it. */

const ROUNDING_BYTES = 64 * 1024;

/** Buffers of one transfer; never more than were in use at one time. */
export class ScratchPool {
  readonly #free: Uint8Array[] = [];

  /** `nbytes` bytes of any content. Give the same view back when it is no longer read. */
  take(nbytes: number): Uint8Array {
    const at = this.#free.findIndex((each) => each.length >= nbytes);
    const whole = at < 0 ? new Uint8Array(Math.ceil(nbytes / ROUNDING_BYTES) * ROUNDING_BYTES) : this.#free.splice(at, 1)[0];
    return (whole ?? new Uint8Array(nbytes)).subarray(0, nbytes);
  }

  /** Takes a buffer back. */
  give(taken: Uint8Array): void {
    this.#free.push(new Uint8Array(taken.buffer));
  }
}
