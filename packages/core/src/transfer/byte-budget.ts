/** Bounds the bytes that are on their way at one time (law L9). */

/** A semaphore counted in bytes, first come first served. */
export class ByteBudget {
  readonly capacityBytes: number;
  #freeBytes: number;
  readonly #waiting: { readonly nbytes: number; readonly start: () => void }[] = [];

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
    this.#freeBytes = capacityBytes;
  }

  /**
   * Waits until `nbytes` are free and takes them; the returned function gives them back, once. More than the whole capacity counts as the
   * whole capacity, so that nothing waits for ever.
   */
  async take(nbytes: number): Promise<() => void> {
    const wanted = Math.min(nbytes, this.capacityBytes);
    if (this.#waiting.length > 0 || wanted > this.#freeBytes) {
      await new Promise<void>((start) => this.#waiting.push({ nbytes: wanted, start }));
    } else this.#freeBytes -= wanted;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#freeBytes += wanted;
      this.#startWaiting();
    };
  }

  #startWaiting(): void {
    for (let first = this.#waiting[0]; first && first.nbytes <= this.#freeBytes; first = this.#waiting[0]) {
      this.#waiting.shift();
      this.#freeBytes -= first.nbytes;
      first.start();
    }
  }
}
