/**
 * The thread that hashes files while they are written, so that neither the event loop nor the download waits for SHA-256. It reads the bytes back
 * from the page cache: ranges may arrive in any order and in any process, the hash only follows the part that is complete from byte 0.
 */
import type { Hash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { HashRequest, HashResponse } from "./content-hash.ts";
import { createContentHash } from "./hash-algorithms.ts";

interface Job {
  readonly file: number;
  readonly hashes: ReadonlyMap<string, Hash>;
  position: number;
  /** Bytes from 0 that may be read. */
  available: number;
  /** Answer when this many are hashed. */
  finish: number | null;
  queued: boolean;
}

/** One turn of one job; between turns other jobs and messages get theirs. */
const TURN_BYTES = 8 * 2 ** 20;
const buffer = new Uint8Array(2 ** 20);
const jobs = new Map<number, Job>();

function start(request: Extract<HashRequest, { verb: "start" }>): void {
  const hashes = new Map(request.algorithms.map((algorithm) => [algorithm, createContentHash(algorithm, request.sizeBytes)]));
  jobs.set(request.job, { file: openSync(request.path, "r"), hashes, position: 0, available: 0, finish: null, queued: false });
}

function end(id: number): void {
  const job = jobs.get(id);
  jobs.delete(id);
  if (job) closeSync(job.file);
}

function advance(job: Job): void {
  const limit = Math.min(job.available, job.position + TURN_BYTES);
  while (job.position < limit) {
    const length = readSync(job.file, buffer, 0, Math.min(buffer.length, limit - job.position), job.position);
    if (length === 0) throw new Error(`ends at ${job.position}, ${job.available} bytes were announced`);
    for (const hash of job.hashes.values()) hash.update(buffer.subarray(0, length));
    job.position += length;
  }
}

function turn(id: number): void {
  const job = jobs.get(id);
  if (job === undefined) return;
  job.queued = false;
  try {
    advance(job);
    if (job.finish !== null && job.position >= job.finish) {
      const digests = [...job.hashes].map(([algorithm, hash]): [string, string] => [algorithm, hash.digest("hex")]);
      end(id);
      answer({ job: id, digests });
    } else if (job.position < job.available) {
      queue(id, job);
    }
  } catch (error) {
    end(id);
    answer({ job: id, error: (error as Error).message });
  }
}

function queue(id: number, job: Job): void {
  if (job.queued) return;
  job.queued = true;
  setImmediate(() => turn(id));
}

function answer(response: HashResponse): void {
  parentPort?.postMessage(response);
}

parentPort?.on("message", (request: HashRequest) => {
  try {
    if (request.verb === "start") return start(request);
    if (request.verb === "end") return end(request.job);
    const job = jobs.get(request.job);
    if (job === undefined) return;
    job.available = Math.max(job.available, request.bytes);
    if (request.verb === "finish") job.finish = request.bytes;
    queue(request.job, job);
  } catch (error) {
    answer({ job: request.job, error: (error as Error).message });
  }
});
