/**
 * Who hears of a promise's failure, and can stop hearing. A reaction on a promise cannot be taken back: rounds that pass while a promise stays open
 * would leave one each, with all that it refers to.
 */

/** Hears why. */
export type FailureListener = (error: unknown) => void;

/** See the module comment. */
export class FailureListeners {
  readonly #byKey = new Map<string, Set<FailureListener>>();

  /** Hears when the promise of this key rejects; call the returned function to hear no more. `open` is asked once per key. */
  on(key: string, open: () => Promise<unknown>, listener: FailureListener): () => void {
    const listeners = this.#byKey.get(key) ?? new Set<FailureListener>();
    listeners.add(listener);
    if (!this.#byKey.has(key)) this.#follow(key, open(), listeners);
    return () => void listeners.delete(listener);
  }

  #follow(key: string, promise: Promise<unknown>, listeners: Set<FailureListener>): void {
    this.#byKey.set(key, listeners);
    const forget = (): void => void this.#byKey.delete(key);
    promise.then(forget, (error: unknown) => {
      forget();
      for (const each of [...listeners]) each(error);
    });
  }
}
