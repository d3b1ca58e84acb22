/**
 * The board on which one thread hands runs of bytes to others: they take runs by themselves, so whoever has a processor does more and nobody waits for a
 * thread that has none. Every step is one atomic operation of one cell, so that it does not matter when a thread wakes up.
 */

/** Bytes that lie in one piece on both sides, by their addresses in this process. */
export interface CopyRun {
  readonly target: bigint;
  readonly source: bigint;
  readonly nbytes: number;
}

/** Copies one run. */
export type CopyBytes = (target: bigint, source: bigint, nbytes: number) => void;

/** Runs of one turn. 1024 of 1 MiB are a gigabyte, which takes long enough for another turn. */
export const BOARD_RUNS_MAX = 1024;

const CELLS_BYTES = 64;
const FIELDS = 3;
/** Counts turns; who waits for work waits for it to change. */
const TURN = 0;
/** Runs that nobody has taken; below zero once all have looked in vain. */
const LEFT = 1;
/** Runs that are copied. */
const DONE = 2;
/** Not zero: nothing comes any more. */
const CLOSED = 3;

/** See the module comment. */
export class CopyBoard {
  /** What crosses threads. */
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;
  readonly #runs: BigInt64Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(CELLS_BYTES + 8 * FIELDS * BOARD_RUNS_MAX)) {
    this.memory = memory;
    this.#cells = new Int32Array(memory, 0, CELLS_BYTES / 4);
    this.#runs = new BigInt64Array(memory, CELLS_BYTES);
  }

  /** Copies all runs, at most `BOARD_RUNS_MAX`, together with whoever helps; when it returns nobody touches their memory any more. */
  copy(runs: readonly CopyRun[], copyBytes: CopyBytes): void {
    for (const [index, { target, source, nbytes }] of runs.entries()) this.#runs.set([target, source, BigInt(nbytes)], index * FIELDS);
    Atomics.store(this.#cells, DONE, 0);
    // From here on they are taken, also by a thread that still looks for one of the turn before.
    Atomics.store(this.#cells, LEFT, runs.length);
    Atomics.add(this.#cells, TURN, 1);
    Atomics.notify(this.#cells, TURN);
    this.#take(copyBytes);
    for (let done = Atomics.load(this.#cells, DONE); done < runs.length; done = Atomics.load(this.#cells, DONE)) {
      Atomics.wait(this.#cells, DONE, done);
    }
  }

  /** Helps until the board is closed; sleeps while there is nothing to do. */
  help(copyBytes: CopyBytes): void {
    for (;;) {
      const turn = Atomics.load(this.#cells, TURN);
      if (Atomics.load(this.#cells, CLOSED) !== 0) return;
      this.#take(copyBytes);
      Atomics.wait(this.#cells, TURN, turn);
    }
  }

  /** Lets the helpers go. */
  close(): void {
    Atomics.store(this.#cells, CLOSED, 1);
    Atomics.add(this.#cells, TURN, 1);
    Atomics.notify(this.#cells, TURN);
  }

  #take(copyBytes: CopyBytes): void {
    for (let index = Atomics.sub(this.#cells, LEFT, 1) - 1; index >= 0; index = Atomics.sub(this.#cells, LEFT, 1) - 1) {
      const [target = 0n, source = 0n, nbytes = 0n] = this.#runs.subarray(index * FIELDS, (index + 1) * FIELDS);
      copyBytes(target, source, Number(nbytes));
      Atomics.add(this.#cells, DONE, 1);
      Atomics.notify(this.#cells, DONE);
    }
  }
}
