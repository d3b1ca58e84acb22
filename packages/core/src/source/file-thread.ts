/**
 * The thread that files go through on their way to the disk: it writes blocks to their place and hashes them while they are hot, so that neither the
 * event loop nor the network waits for the disk or for SHA-256, and no byte is read back for its digest that need not be.
 *
 * Blocks may come in any order, and some may have been written by another process: the hash follows the part that is complete from byte 0. A block that
 * begins where the hash stands is hashed from memory; what the hash finds behind a gap is read back from the page cache once the gap is closed.
 */
import type { Hash } from "node:crypto";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import type { FileRequest, FileResponse } from "./file-job.ts";
import { createContentHash } from "./hash-algorithms.ts";

interface Job {
  readonly file: number;
  readonly hashes: ReadonlyMap<string, Hash>;
  /** Bytes from 0 that are hashed. */
  position: number;
  /** Bytes from 0 that are there. */
  available: number;
  /** Answer when this many are hashed. */
  finish: number | null;
  queued: boolean;
}

/** One turn of one job; between turns other jobs and messages get theirs. */
const TURN_BYTES = 8 * 2 ** 20;
const READ_BYTES = 2 ** 18;
const jobs = new Map<number, Job>();
/** Memory that blocks lie in, shared with the thread that reads the network. */
const memory = new Map<number, Uint8Array>();
let buffer: Uint8Array | undefined;

function start(request: Extract<FileRequest, { verb: "start" }>): void {
  const hashes = new Map(request.algorithms.map((algorithm) => [algorithm, createContentHash(algorithm, request.sizeBytes)]));
  const file = openSync(request.path, request.writable ? "r+" : "r");
  jobs.set(request.job, { file, hashes, position: 0, available: 0, finish: null, queued: false });
}

function end(id: number): void {
  const job = jobs.get(id);
  jobs.delete(id);
  if (job) closeSync(job.file);
}

function write(request: Extract<FileRequest, { verb: "write" }>): void {
  const { job: id, write: number, memory: slab, begin, end: stop, position } = request;
  const job = jobs.get(id);
  try {
    const block = memory.get(slab)?.subarray(begin, stop);
    if (job === undefined || block === undefined) throw new Error("nothing is written here any more");
    // A nearly full disk, or a network file system, may take less than it was given.
    for (let done = 0; done < block.length; ) done += writeSync(job.file, block, done, block.length - done, position + done);
    follow(job, block, position);
    answer({ job: id, write: number });
  } catch (error) {
    answer({ job: id, write: number, ...described(error) });
  }
}

/** Hashes a block that has just been written if the hash stands where it begins, or so little before it that it will in a moment. */
function follow(job: Job, block: Uint8Array, position: number): void {
  if (position <= job.available) job.available = Math.max(job.available, position + block.length);
  if (position > job.available || position < job.position || position - job.position > TURN_BYTES) return;
  if (job.position < position) readTo(job, position);
  for (const hash of job.hashes.values()) hash.update(block);
  job.position = position + block.length;
}

function readTo(job: Job, limit: number): void {
  buffer ??= new Uint8Array(READ_BYTES);
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
    readTo(job, Math.min(job.available, job.position + TURN_BYTES));
    if (job.finish !== null && job.position >= job.finish) {
      const digests = [...job.hashes].map(([algorithm, hash]): [string, string] => [algorithm, hash.digest("hex")]);
      end(id);
      answer({ job: id, digests });
    } else if (job.position < job.available) {
      queue(id, job);
    }
  } catch (error) {
    fail(id, error);
  }
}

function queue(id: number, job: Job): void {
  if (job.queued) return;
  job.queued = true;
  setImmediate(() => turn(id));
}

function fail(id: number, error: unknown): void {
  end(id);
  answer({ job: id, ...described(error) });
}

function described(error: unknown): { error: string; code?: string } {
  const { code, message } = error as NodeJS.ErrnoException;
  return { error: message, ...(code === undefined ? {} : { code }) };
}

function answer(response: FileResponse): void {
  parentPort?.postMessage(response);
}

parentPort?.on("message", (request: FileRequest) => {
  if (request.verb === "memory") {
    memory.set(request.memory, new Uint8Array(request.bytes));
    return;
  }
  try {
    if (request.verb === "start") return start(request);
    if (request.verb === "end") return end(request.job);
    if (request.verb === "write") return write(request);
    const job = jobs.get(request.job);
    if (job === undefined) return;
    job.available = Math.max(job.available, request.bytes);
    if (request.verb === "finish") job.finish = request.bytes;
    queue(request.job, job);
  } catch (error) {
    fail(request.job, error);
  }
});
