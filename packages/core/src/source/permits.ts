/** A bound on how many things run at once, first come, first served. */

/** `count` permits. */
export class Permits {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Runs `action` with a permit. */
  async with<T>(action: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await action();
    } finally {
      // A permit is handed on, not returned, when somebody waits: nobody can overtake.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
