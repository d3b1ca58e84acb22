/**
 * Threads that help to compute CRC-32. They are started ahead where somebody has time to (a thread of JavaScript costs 30 ms of a processor), or by the
 * first work that is worth it, and stay: idle they cost their memory. Who asks computes as well, in turns with whatever else it does, so that a thread that
 * is late, or does not come up at all, is not missed.
 */
import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import {
  type ChecksumBoard,
  type ChecksumRun,
  checksumsOf,
  computeBatch,
  createChecksumBoard,
  stopBoard,
  takeBatch,
  unfinishedBatches,
} from "./checksum-board.ts";
import { prepareCrc32 } from "./crc32.ts";

/** More do not read memory faster on the machines we know. */
const CREW_MAX = 16;
/** Started ahead: who does not know what will come takes no more. */
const CREW_AHEAD = 3;
/** A thread costs what the CRC-32 of this many bytes does. */
const THREAD_BYTES = 256 * 2 ** 20;

/** Of this thread, for all that it computes. */
let shared: ChecksumCrew | null = null;

/** The crew of this thread. Threads start when they are worth it, or are asked to. */
export function sharedChecksumCrew(): ChecksumCrew {
  shared ??= new ChecksumCrew();
  return shared;
}

/** Starts threads for checksums that may come. Nothing where processors are few, or Node's own thread pool does it. */
export function rehearseChecksums(): void {
  if (prepareCrc32()) sharedChecksumCrew().start(Math.min(availableParallelism() - 1, CREW_AHEAD));
}

/** Threads that are worth starting for so many bytes, beside the one that asks. */
export function crewFor(nbytes: number): number {
  return Math.min(availableParallelism() - 1, CREW_MAX, Math.floor(nbytes / THREAD_BYTES));
}

/** One thread, from its start to its end. */
class CrewThread {
  readonly #worker: Worker;
  /** What it was posted and has not answered, in order: each is called once, also when it ends. */
  #pending: (() => void)[] = [];
  /** Resolves when it takes work, or has ended. */
  readonly ready: Promise<void>;
  isReady = false;

  constructor(onEnd: (thread: CrewThread) => void) {
    this.#worker = new Worker(new URL("./checksum-thread.js", import.meta.url), { env: {}, execArgv: [], name: "rankcast-crc" });
    const { promise, resolve } = withResolvers();
    this.ready = promise;
    this.#worker.on("message", (said: "ready" | "done") => {
      if (said === "done") return this.#pending.shift()?.();
      this.isReady = true;
      resolve();
    });
    // It is told by its end.
    this.#worker.on("error", () => undefined);
    this.#worker.on("exit", () => {
      onEnd(this);
      resolve();
      for (const answered of this.#pending.splice(0)) answered();
    });
    // Listening for messages keeps a process alive, so last.
    this.#worker.unref();
  }

  /** Resolves when it has ended, whatever it was at. */
  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  /** Resolves when it takes nothing more from the board. */
  help(board: ChecksumBoard): Promise<void> {
    return new Promise((resolve) => {
      this.#worker.ref();
      this.#pending.push(() => {
        if (this.#pending.length === 0) this.#worker.unref();
        resolve();
      });
      this.#worker.postMessage(board);
    });
  }
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** See the module comment. */
export class ChecksumCrew {
  readonly #threads: CrewThread[] = [];

  /** Threads that were started and have not ended. */
  get size(): number {
    return this.#threads.length;
  }

  /** Starts as many as are missing to `count`. */
  start(count: number): void {
    while (this.#threads.length < count) {
      this.#threads.push(
        new CrewThread((ended) => {
          this.#threads.splice(this.#threads.indexOf(ended), 1);
        }),
      );
    }
  }

  /** Resolves when all that were started take work. */
  async ready(): Promise<void> {
    await Promise.all(this.#threads.map(({ ready }) => ready));
  }

  /** Ends all threads. Work that they had begun is finished by who asked for it. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  /**
   * CRC-32 of each run. Nobody looks at the memory any more when it resolves or rejects.
   * @throws the signal's reason when it is aborted.
   */
  async compute(runs: readonly ChecksumRun[], signal?: AbortSignal): Promise<number[]> {
    signal?.throwIfAborted();
    const board = createChecksumBoard(runs);
    const helping: Promise<void>[] = [];
    const helpers = new Set<CrewThread>();
    try {
      do {
        for (const thread of this.#threads) {
          if (!thread.isReady || helpers.has(thread)) continue;
          helpers.add(thread);
          helping.push(thread.help(board));
        }
        await nextTurn();
        signal?.throwIfAborted();
      } while (takeBatch(board));
    } finally {
      stopBoard(board);
      await Promise.all(helping);
    }
    // What a thread had taken when it ended.
    for (const batch of unfinishedBatches(board)) {
      computeBatch(board, batch);
      await nextTurn();
      signal?.throwIfAborted();
    }
    return checksumsOf(board, runs);
  }
}
