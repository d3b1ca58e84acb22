/** Digests of files, computed in a thread of their own while the file grows. */
import { Worker } from "node:worker_threads";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { HashAlgorithm } from "./hash-algorithms.ts";

/** Message to the hash thread. @internal */
export type HashRequest =
  | {
      readonly verb: "start";
      readonly job: number;
      readonly path: string;
      readonly algorithms: readonly HashAlgorithm[];
      readonly sizeBytes: number;
    }
  | { readonly verb: "available" | "finish"; readonly job: number; readonly bytes: number }
  | { readonly verb: "end"; readonly job: number };
/** Its answer. @internal */
export type HashResponse =
  | { readonly job: number; readonly digests: readonly (readonly [string, string])[] }
  | { readonly job: number; readonly error: string };

/** A digest under way. */
export interface RunningHash {
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

let thread: HashThread | undefined;

/**
 * Starts hashing the file at `path`, which must exist; nothing is read before `available` or `finish`. Only `git-sha1` needs to know `sizeBytes`
 * at the start. One thread serves the whole process and ends with its last job.
 */
export function startHash(path: string, algorithms: readonly HashAlgorithm[] = ["sha256"], sizeBytes = 0): RunningHash {
  thread ??= new HashThread(() => {
    thread = undefined;
  });
  const running = thread;
  const job = running.start(path, algorithms, sizeBytes);
  let announced = 0;
  return {
    available(bytes) {
      if (bytes - announced < ANNOUNCE_BYTES) return;
      announced = bytes;
      running.post({ verb: "available", job, bytes });
    },
    finish: (bytes) => running.finish(job, bytes),
    cancel: () => running.end(job),
  };
}

/** SHA-256 of a whole file, lower-case hex. @throws {SourceError} RANKCAST_FILE_UNREADABLE. */
export async function hashFile(path: string, sizeBytes: number, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  const hash = startHash(path);
  const cancel = (): void => hash.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return (await hash.finish(sizeBytes)).get("sha256") ?? "";
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

interface Pending {
  readonly path: string;
  readonly promise: Promise<ReadonlyMap<string, string>>;
  readonly resolve: (digests: ReadonlyMap<string, string>) => void;
  readonly reject: (error: unknown) => void;
}

class HashThread {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Pending>();
  readonly #onEnd: () => void;
  #nextJob = 0;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    // No environment and no flags of this process: the thread needs neither, and secrets stay where they are.
    this.#worker = new Worker(new URL("./hash-thread.js", import.meta.url), { env: {}, execArgv: [], name: "rankcast-hash" });
    this.#worker.unref();
    this.#worker.on("message", (response: HashResponse) => this.#settle(response));
    this.#worker.on("error", (error) => this.#failAll(error));
    this.#worker.on("exit", () => this.#failAll(new Error("the hash thread ended")));
  }

  start(path: string, algorithms: readonly HashAlgorithm[], sizeBytes: number): number {
    const job = this.#nextJob++;
    const { promise, resolve, reject } = withResolvers<ReadonlyMap<string, string>>();
    // A job that fails before anybody waits for it is reported by `finish`.
    promise.catch(() => undefined);
    this.#jobs.set(job, { path, promise, resolve, reject });
    this.post({ verb: "start", job, path, algorithms, sizeBytes });
    return job;
  }

  post(request: HashRequest): void {
    this.#worker.postMessage(request);
  }

  async finish(job: number, bytes: number): Promise<ReadonlyMap<string, string>> {
    const pending = this.#jobs.get(job);
    if (pending === undefined) throw new Error("this hash was cancelled");
    this.#worker.ref();
    this.post({ verb: "finish", job, bytes });
    try {
      return await pending.promise;
    } finally {
      this.#release(job);
    }
  }

  end(job: number): void {
    const pending = this.#jobs.get(job);
    if (pending === undefined) return;
    this.post({ verb: "end", job });
    pending.reject(new Error("cancelled"));
    this.#release(job);
  }

  #settle(response: HashResponse): void {
    const pending = this.#jobs.get(response.job);
    if ("digests" in response) pending?.resolve(new Map(response.digests));
    else pending?.reject(unreadableHash(pending.path, response.error));
  }

  #failAll(error: Error): void {
    for (const pending of this.#jobs.values()) pending.reject(unreadableHash(pending.path, error.message));
  }

  #release(job: number): void {
    this.#jobs.delete(job);
    this.#worker.unref();
    if (this.#jobs.size > 0) return;
    this.#onEnd();
    void this.#worker.terminate();
  }
}

function unreadableHash(path: string, why: string): SourceError {
  return new SourceError("RANKCAST_FILE_UNREADABLE", `${printable(path)}: could not be read back for its digest: ${why}`, {
    details: { file: path },
  });
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
