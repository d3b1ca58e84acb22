/** Virtual time: things to do, earliest first; equal times in the order they were planned. */

interface Plan {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A binary heap of plans. */
export class Agenda {
  nowMs = 0;
  #order = 0;
  readonly #heap: Plan[] = [];

  /** Plans `run` for `delayMs` from now. */
  after(delayMs: number, run: () => void): void {
    const plan = { atMs: this.nowMs + delayMs, order: this.#order, run };
    this.#order += 1;
    let at = this.#heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || !before(plan, above)) break;
      this.#heap[at] = above;
      at = parent;
    }
    this.#heap[at] = plan;
  }

  /** Runs the next plan; false when there is none. */
  step(): boolean {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return false;
    if (this.#heap.length > 0) this.#sink(last);
    this.nowMs = first.atMs;
    first.run();
    return true;
  }

  #sink(plan: Plan): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const [a, b] = [this.#heap[left], this.#heap[left + 1]];
      const child = b !== undefined && a !== undefined && before(b, a) ? left + 1 : left;
      const smaller = this.#heap[child];
      if (smaller === undefined || !before(smaller, plan)) break;
      this.#heap[at] = smaller;
      at = child;
    }
    this.#heap[at] = plan;
  }
}

function before(a: Plan, b: Plan): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
