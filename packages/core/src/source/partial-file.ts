/**
 * A download that is not complete yet. It has one writer and a name of its own, is never served, and remembers which bytes it has, so that
 * another try, also of another process, fetches only the rest.
 *
 *   owned ── release() ──► free ── claim ──► owned      after a failure of the network
 *     │  ▲
 *     │  └── claim ── owned by a process that is dead for certain (kill -9)
 *     ├── finish() ──► complete, synced, read-only: handed to the cache
 *     └── discard() ──► gone: refused or replaced
 *
 * Its owner is part of its name. The state file is written before the file it describes and removed after it. What was written
 * before a reboot is not believed: a file system may keep sizes and lose bytes when power fails.
 */
import type { FileHandle } from "node:fs/promises";
import { open, rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { BlockPool } from "./block-pool.ts";
import { type ByteRange, RangeSet } from "./byte-range.ts";
import { CREATE_FLAGS, writeError, writeWhole } from "./durable-file.ts";
import { type FileJob, startFileJob } from "./file-job.ts";
import { unreadable } from "./file-source.ts";
import { createContentHash, type HashAlgorithm } from "./hash-algorithms.ts";
import type { PartialWatcher } from "./partial-watcher.ts";
import { uniqueTag } from "./process-identity.ts";
import { isSameVersion, type RemoteVersion } from "./remote-version.ts";

/** What is kept beside the bytes. */
export interface PartialState {
  readonly remote: RemoteVersion | null;
  readonly ranges: readonly ByteRange[];
  /** Nobody writes it; anybody may claim it. */
  readonly free: boolean;
}

/** The state is saved when this much time has passed and this many bytes are new: what a killed process loses at most. */
const SAVE_MS = 1_000;
const SAVE_BYTES = 2 ** 20;
/** The disk starts on what is written after this many bytes, so that the sync at the end finds little left to do. */
const FLUSH_BYTES = 128 * 2 ** 20;
/** Smaller files are written and hashed without a thread, which costs more than they do. */
const INLINE_BYTES = 4 * 2 ** 20;

/** See the module. Offsets are offsets in the complete file. Not for concurrent use of `reset` and `write`. */
export class PartialFile {
  readonly path: string;
  /** The bytes of an earlier, interrupted download that were found. */
  readonly resumedBytes: number;
  /** Told of every change; set before the first one. */
  watcher: PartialWatcher | undefined;
  readonly #handle: FileHandle;
  readonly #done = new RangeSet();
  readonly #algorithms = new Set<HashAlgorithm>(["sha256"]);
  #remote: RemoteVersion | null;
  /** Who writes and hashes it; none for a small file. */
  #job: FileJob | undefined;
  readonly #ownBlocks = new BlockPool();
  #unsavedBytes = 0;
  #savedMs = performance.now();
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(path: string, handle: FileHandle, state: Pick<PartialState, "remote" | "ranges">) {
    this.path = path;
    this.#handle = handle;
    this.#remote = state.remote;
    for (const each of state.ranges) this.#done.add(each);
    this.resumedBytes = this.#done.sizeBytes;
  }

  /**
   * A new, empty one in `directory`.
   * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
   */
  static async create(directory: string, key: string): Promise<PartialFile> {
    const path = join(directory, `${key}.${uniqueTag()}.part`);
    const state = { remote: null, ranges: [] };
    await savePartialState(path, { ...state, free: false });
    try {
      return new PartialFile(path, await open(path, CREATE_FLAGS, 0o600), state);
    } catch (error) {
      await rm(statePath(path), { force: true });
      throw writeError(path, error);
    }
  }

  /** The version the bytes belong to; null before the first answer. */
  get remote(): RemoteVersion | null {
    return this.#remote;
  }

  /** Bytes that are there. */
  get doneBytes(): number {
    return this.#done.sizeBytes;
  }

  /** How many bytes from `offset` on are there without a gap. */
  bytesAt(offset: number): number {
    return this.#done.bytesAt(offset);
  }

  /** Memory for the blocks that `write` takes. */
  get blocks(): BlockPool {
    return this.#isSmall ? this.#ownBlocks : this.#writing().blocks;
  }

  /** What of a file of `sizeBytes` is not there yet. */
  missing(sizeBytes: number): ByteRange[] {
    return this.#done.missing(sizeBytes);
  }

  /** Computes another digest as well. Only before the first byte is written. */
  want(algorithm: HashAlgorithm): void {
    this.#algorithms.add(algorithm);
  }

  /**
   * Says which version the next bytes belong to. Bytes of another version, or of one that can not be identified, are dropped.
   * @throws {SourceError} RANKCAST_DISK_FULL when the rest is known not to fit.
   */
  async begin(remote: RemoteVersion): Promise<void> {
    if (this.#remote === null || !isSameVersion(this.#remote, remote)) await this.reset();
    this.#remote = remote;
    await refuseFullDisk(dirname(this.path), remote.sizeBytes - this.doneBytes);
    this.watcher?.begun(this);
  }

  /** Drops all bytes. */
  async reset(): Promise<void> {
    this.#job?.cancel();
    this.#job = undefined;
    this.#done.clear();
    this.#remote = null;
    this.watcher?.dropped();
    await this.#attempt(() => this.#handle.truncate(0));
  }

  /**
   * Writes a part of one of `blocks` at `position`; its bytes count as done when this resolves. Several writes may run at once.
   * @throws {SourceError} RANKCAST_DISK_FULL, RANKCAST_CACHE_WRITE.
   */
  async write(block: Uint8Array, position: number): Promise<void> {
    const end = position + block.length;
    const written = this.#isSmall ? writeFully(this.#handle, block, position) : this.#writing().write(block, position);
    await written.catch((error: unknown) => {
      throw writeError(this.path, error, { neededBytes: (this.#remote?.sizeBytes ?? end) - this.doneBytes });
    });
    this.#done.add({ begin: position, end });
    this.watcher?.grown();
    this.#announce();
    this.#unsavedBytes += end - position;
    this.#unflushedBytes += end - position;
    if (this.#unsavedBytes >= SAVE_BYTES && performance.now() - this.#savedMs >= SAVE_MS) this.#save(false);
    if (this.#unflushedBytes >= FLUSH_BYTES) this.#flush();
  }

  /** The first `length` bytes, for a look at what it is; fewer when fewer are there. */
  async head(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.min(length, this.#done.prefixBytes));
    await this.#handle.read(bytes, 0, bytes.length, 0).catch((error: unknown) => unreadable(this.path, error));
    return bytes;
  }

  /**
   * Syncs the complete file, makes it read-only, closes it and returns its digests. It still has its temporary name.
   * @throws {SourceError} RANKCAST_FILE_UNREADABLE, RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
   */
  async finish(sizeBytes: number): Promise<ReadonlyMap<string, string>> {
    if (this.missing(sizeBytes).length > 0) throw new SourceError("RANKCAST_HTTP_SHORT", `${printable(this.path)}: not complete`);
    const digests = this.#job || sizeBytes > INLINE_BYTES ? this.#writing().finish(sizeBytes) : this.#hashInline(sizeBytes);
    // Both at once; neither may be left behind when the other fails.
    const [computed, synced] = await Promise.allSettled([digests, this.#attempt(() => this.#handle.datasync())]);
    if (computed.status === "rejected") throw computed.reason;
    if (synced.status === "rejected") throw synced.reason;
    this.#job = undefined;
    await this.#attempt(() => this.#handle.chmod(0o444));
    await this.#attempt(() => this.#handle.sync());
    await this.#close();
    return computed.value;
  }

  /** Leaves the bytes for whoever asks next. */
  async release(): Promise<void> {
    if (this.doneBytes === 0 || this.#remote === null) return this.discard();
    this.#save(true);
    await this.#close();
  }

  /** Removes file and state. Also after `finish`, when the file was refused or has got another name. */
  async discard(): Promise<void> {
    await this.#close();
    await rm(this.path, { force: true });
    await rm(statePath(this.path), { force: true });
  }

  async #attempt(action: () => Promise<void>): Promise<void> {
    await action().catch((error: unknown) => {
      throw writeError(this.path, error);
    });
  }

  async #close(): Promise<void> {
    this.#job?.cancel();
    this.#job = undefined;
    await this.#saving;
    await this.#flushing;
    await this.#handle.close().catch(() => undefined);
  }

  get #isSmall(): boolean {
    return this.#remote !== null && this.#remote.sizeBytes <= INLINE_BYTES;
  }

  #writing(): FileJob {
    this.#job ??= startFileJob(this.path, {
      writable: true,
      algorithms: [...this.#algorithms],
      ...(this.#remote === null ? {} : { sizeBytes: this.#remote.sizeBytes }),
    });
    return this.#job;
  }

  #announce(): void {
    this.#job?.available(this.#done.prefixBytes);
  }

  async #hashInline(sizeBytes: number): Promise<ReadonlyMap<string, string>> {
    const bytes = new Uint8Array(sizeBytes);
    const { bytesRead } = await this.#handle.read(bytes, 0, sizeBytes, 0).catch((error: unknown) => unreadable(this.path, error));
    if (bytesRead !== sizeBytes) {
      throw new SourceError("RANKCAST_FILE_UNREADABLE", `${printable(this.path)}: could not be read back for its digest`, {
        details: { file: this.path },
      });
    }
    return new Map(
      [...this.#algorithms].map((algorithm) => [algorithm, createContentHash(algorithm, sizeBytes).update(bytes).digest("hex")]),
    );
  }

  /** In the background, one at a time; what goes wrong is found by the sync at the end. */
  #flush(): void {
    this.#unflushedBytes = 0;
    this.#flushing ??= this.#handle
      .datasync()
      .catch(() => undefined)
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  /** One save at a time. A state that can not be saved costs a resume, not the download. */
  #save(free: boolean): void {
    this.#unsavedBytes = 0;
    this.#savedMs = performance.now();
    const state = { remote: this.#remote, ranges: [...this.#done.ranges], free };
    this.#saving = this.#saving.then(() => savePartialState(this.path, state)).catch(() => undefined);
  }
}

/** Where the state of a partial file is. */
export function statePath(path: string): string {
  return `${path}.json`;
}

/** Writes the state of a partial file in one step. @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL. */
export function savePartialState(path: string, state: PartialState): Promise<void> {
  return writeWhole(statePath(path), JSON.stringify(state), { durable: false });
}

/**
 * Refuses when the file system has less space than needed, before anything is fetched. Unknown free space is no reason.
 * @throws {SourceError} RANKCAST_DISK_FULL with both numbers.
 */
export async function refuseFullDisk(directory: string, neededBytes: number): Promise<void> {
  const system = await statfs(directory).catch(() => undefined);
  // Some network and overlay file systems report no blocks at all.
  if (system === undefined || system.blocks === 0) return;
  const freeBytes = system.bavail * system.bsize;
  if (freeBytes >= neededBytes) return;
  throw new SourceError("RANKCAST_DISK_FULL", `${printable(directory)}: ${neededBytes} bytes needed, ${freeBytes} free`, {
    details: { directory, neededBytes, freeBytes },
  });
}

/** A nearly full disk, or a network file system, may take less than it was given. */
async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}
