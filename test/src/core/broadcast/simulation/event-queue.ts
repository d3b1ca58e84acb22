/** What happens next, in virtual time. Of equal times the earlier request comes first. */

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A heap of events. */
export class EventQueue {
  readonly #heap: Entry[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  add(atMs: number, run: () => void): void {
    this.#order += 1;
    const entry = { atMs, order: this.#order, run };
    const heap = this.#heap;
    heap.push(entry);
    for (let place = heap.length - 1; place > 0; ) {
      const parent = (place - 1) >> 1;
      if (!before(entry, heap[parent] ?? entry)) break;
      heap[place] = heap[parent] ?? entry;
      heap[parent] = entry;
      place = parent;
    }
  }

  take(): Entry {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) throw new RangeError("nothing is left");
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    return first;
  }

  #sink(): void {
    const heap = this.#heap;
    for (let place = 0; ; ) {
      let least = place;
      for (const child of [2 * place + 1, 2 * place + 2]) {
        const [candidate, best] = [heap[child], heap[least]];
        if (candidate && best && before(candidate, best)) least = child;
      }
      const [entry, lesser] = [heap[place], heap[least]];
      if (least === place || !entry || !lesser) return;
      [heap[place], heap[least]] = [lesser, entry];
      place = least;
    }
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
