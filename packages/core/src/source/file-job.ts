/** Files that are written and hashed in a thread of their own: this side of it. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { BlockPool } from "./block-pool.ts";
import type { HashAlgorithm } from "./hash-algorithms.ts";

/** Message to the thread. @internal */
export type FileRequest =
  | {
      readonly verb: "start";
      readonly job: number;
      readonly path: string;
      readonly writable: boolean;
      readonly algorithms: readonly HashAlgorithm[];
      readonly sizeBytes: number;
    }
  | { readonly verb: "memory"; readonly memory: number; readonly bytes: SharedArrayBuffer }
  | {
      readonly verb: "write";
      readonly job: number;
      readonly write: number;
      readonly memory: number;
      /** Where the bytes lie in it. */
      readonly begin: number;
      readonly end: number;
      /** Where they belong in the file. */
      readonly position: number;
    }
  | { readonly verb: "available" | "finish"; readonly job: number; readonly bytes: number }
  | { readonly verb: "end"; readonly job: number };
/** Its answer. @internal */
export type FileResponse =
  | { readonly job: number; readonly digests: readonly (readonly [string, string])[] }
  | { readonly job: number; readonly write: number; readonly error?: string; readonly code?: string }
  | { readonly job: number; readonly error: string; readonly code?: string };

/** What a job is for. */
export interface FileJobOptions {
  readonly algorithms?: readonly HashAlgorithm[];
  /** Only `git-sha1` needs to know it. */
  readonly sizeBytes?: number;
  /** Whether `write` will be called. */
  readonly writable?: boolean;
}

/** A file that is written, hashed or both. */
export interface FileJob {
  /** Blocks that `write` takes. */
  readonly blocks: BlockPool;
  /**
   * Writes bytes that lie in one of `blocks`; they are not to be touched until this resolves. Writes happen in the order of the calls.
   * @throws the system's error, with its `code`.
   */
  write(block: Uint8Array, position: number): Promise<void>;
  /** Bytes `[0, bytes)` are written for good and may be hashed. Cheap; call as often as you like. */
  available(bytes: number): void;
  /**
   * Waits for the digests of the first `bytes` bytes, lower-case hex by algorithm.
   * @throws {SourceError} RANKCAST_FILE_UNREADABLE when the file can not be read back.
   */
  finish(bytes: number): Promise<ReadonlyMap<string, string>>;
  /** Gives up. No-op after `finish`. */
  cancel(): void;
}

/** Announcements smaller than this wait for the next one: a message costs more than it brings. */
const ANNOUNCE_BYTES = 4 * 2 ** 20;
/** One thread writes and hashes about 1 GB/s: more of them only help with several files at once, and where there are processors for them. */
const THREADS_MAX = Math.max(1, Math.min(4, availableParallelism() - 1));

const threads = new Set<FileThread>();

/** Starts a job on the file at `path`, which must exist; nothing is read or written before its methods are called. A thread ends with its last job. */
export function startFileJob(path: string, options: FileJobOptions = {}): FileJob {
  const thread = leastBusyThread();
  const job = thread.start(path, options);
  let announced = 0;
  return {
    blocks: thread.blocks,
    write: (block, position) => thread.write(job, block, position),
    available(bytes) {
      if (bytes - announced < ANNOUNCE_BYTES) return;
      announced = bytes;
      thread.post({ verb: "available", job, bytes });
    },
    finish: (bytes) => thread.finish(job, bytes),
    cancel: () => thread.end(job),
  };
}

function leastBusyThread(): FileThread {
  const [least] = [...threads].sort((one, other) => one.jobs - other.jobs);
  if (least !== undefined && (least.jobs === 0 || threads.size >= THREADS_MAX)) return least;
  const created = new FileThread(() => threads.delete(created));
  threads.add(created);
  return created;
}

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

interface Pending extends Waiting<ReadonlyMap<string, string>> {
  readonly path: string;
  readonly promise: Promise<ReadonlyMap<string, string>>;
  readonly writes: Map<number, Waiting<void>>;
  /** The thread has given the file up. */
  failure?: unknown;
}

class FileThread {
  readonly blocks = new BlockPool();
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Pending>();
  readonly #onEnd: () => void;
  /** Blocks' memory that the thread knows, by the number it knows it by. */
  readonly #memory = new Map<ArrayBufferLike, number>();
  #nextJob = 0;
  #nextWrite = 0;
  /** Promises that somebody waits for: they keep the process alive. */
  #awaited = 0;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    // No environment and no flags of this process: the thread needs neither, and secrets stay where they are.
    this.#worker = new Worker(new URL("./file-thread.js", import.meta.url), { env: {}, execArgv: [], name: "rankcast-file" });
    this.#worker.unref();
    this.#worker.on("message", (response: FileResponse) => this.#settle(response));
    this.#worker.on("error", (error) => this.#failAll(error));
    this.#worker.on("exit", () => this.#failAll(new Error("the file thread ended")));
  }

  get jobs(): number {
    return this.#jobs.size;
  }

  start(path: string, { algorithms = ["sha256"], sizeBytes = 0, writable = false }: FileJobOptions): number {
    const job = this.#nextJob++;
    const { promise, resolve, reject } = withResolvers<ReadonlyMap<string, string>>();
    // A job that fails before anybody waits for it is reported by `finish`.
    promise.catch(() => undefined);
    this.#jobs.set(job, { path, promise, resolve, reject, writes: new Map() });
    this.post({ verb: "start", job, path, writable, algorithms, sizeBytes });
    return job;
  }

  post(request: FileRequest): void {
    this.#worker.postMessage(request);
  }

  async write(job: number, block: Uint8Array, position: number): Promise<void> {
    const pending = this.#pending(job);
    if (pending.failure !== undefined) throw pending.failure;
    const { promise, resolve, reject } = withResolvers<void>();
    const write = this.#nextWrite++;
    pending.writes.set(write, { resolve, reject });
    const { byteOffset: begin, length } = block;
    this.post({ verb: "write", job, write, memory: this.#share(block.buffer), begin, end: begin + length, position });
    await this.#await(promise);
  }

  async finish(job: number, bytes: number): Promise<ReadonlyMap<string, string>> {
    const pending = this.#pending(job);
    this.post({ verb: "finish", job, bytes });
    try {
      return await this.#await(pending.promise);
    } finally {
      this.#release(job);
    }
  }

  end(job: number): void {
    const pending = this.#jobs.get(job);
    if (pending === undefined) return;
    this.post({ verb: "end", job });
    reject(pending, new Error("cancelled"));
    this.#release(job);
  }

  #pending(job: number): Pending {
    const pending = this.#jobs.get(job);
    if (pending === undefined) throw new Error("this file is not written or hashed any more");
    return pending;
  }

  #share(bytes: ArrayBufferLike): number {
    const known = this.#memory.get(bytes);
    if (known !== undefined) return known;
    const memory = this.#memory.size;
    this.#memory.set(bytes, memory);
    this.post({ verb: "memory", memory, bytes: bytes as SharedArrayBuffer });
    return memory;
  }

  async #await<T>(promise: Promise<T>): Promise<T> {
    if (this.#awaited++ === 0) this.#worker.ref();
    try {
      return await promise;
    } finally {
      if (--this.#awaited === 0) this.#worker.unref();
    }
  }

  #settle(response: FileResponse): void {
    const pending = this.#jobs.get(response.job);
    if (pending === undefined) return;
    if ("digests" in response) pending.resolve(new Map(response.digests));
    else if ("write" in response) {
      const waiting = pending.writes.get(response.write);
      pending.writes.delete(response.write);
      if (response.error === undefined) waiting?.resolve();
      else waiting?.reject(systemError(response.error, response.code));
    } else reject(pending, unreadableFile(pending.path, response.error), systemError(response.error, response.code));
  }

  #failAll(error: Error): void {
    for (const pending of this.#jobs.values()) reject(pending, unreadableFile(pending.path, error.message));
  }

  #release(job: number): void {
    this.#jobs.delete(job);
    if (this.#jobs.size > 0) return;
    this.#onEnd();
    void this.#worker.terminate();
  }
}

/** `failure` is what writes fail with, now and from now on. */
function reject(pending: Pending, error: unknown, failure = error): void {
  pending.failure = failure;
  pending.reject(error);
  for (const each of pending.writes.values()) each.reject(failure);
  pending.writes.clear();
}

/** An error of the thread as it was there. */
function systemError(message: string, code: string | undefined): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}

function unreadableFile(path: string, why: string): SourceError {
  return new SourceError("RANKCAST_FILE_UNREADABLE", `${printable(path)}: could not be written or read back for its digest: ${why}`, {
    details: { file: path },
  });
}

function withResolvers<T>(): Waiting<T> & { readonly promise: Promise<T> } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
