/** Random access to a file over HTTP, for looking at headers without fetching tensors. */
import { parseContentRange, rangeHeader } from "./byte-range.ts";
import type { ByteSource, SourceVersion } from "./byte-source.ts";
import { truncated } from "./file-source.ts";
import { refuseHtml } from "./http-body-checks.ts";
import { changed, hasRunOut, lengthError, rangeError, runOut, shortBody } from "./http-errors.ts";
import { type LocatedResponse, send } from "./http-request.ts";
import type { HttpSession } from "./http-session.ts";
import { type HttpTarget, parseHttpUrl } from "./http-url.ts";
import { responseError } from "./response-error.ts";
import { withRetries } from "./with-retries.ts";

/** Small reads fetch whole blocks: the next one is usually beside the last. */
const BLOCK_BYTES = 2 ** 16;
/** For whoever counts bytes: a header of an archive's record fits. */
export const SMALL_BLOCK_BYTES = 1024;
/** Blocks kept. */
const BLOCKS_MAX = 64;
/** A server without ranges is fine for a file that fits here. */
const WHOLE_BYTES_MAX = 2 ** 20;

/**
 * Opens a URL for ranged reads; the first block is fetched at once. Every answer must be about the asked range and the version seen first. The source
 * uses the session but does not own it.
 * @throws {SourceError} RANKCAST_HTTP_RANGE when the server has no ranges and the file is not small; as `send`; {UsageError} RANKCAST_USAGE.
 */
export async function openHttp(session: HttpSession, url: string, blockBytes = BLOCK_BYTES): Promise<ByteSource> {
  const target = parseHttpUrl(url);
  const opening = await withRetries(session, target.name, session.signal, (idleMs) => openFirst(session, target, idleMs));
  return new HttpSource(session, target, opening, blockBytes);
}

interface Opening {
  readonly target: HttpTarget;
  readonly version: SourceVersion;
  readonly identity: string | null;
  /** The first bytes; the whole file when the server has no ranges. */
  readonly head: Uint8Array;
}

async function openFirst(session: HttpSession, target: HttpTarget, idleMs: number): Promise<Opening> {
  const range = { begin: 0, end: BLOCK_BYTES };
  const response = await send(session, target, { headers: { range: rangeHeader(range) }, idleMs, bulk: true });
  const identity = identityOf(response);
  if (response.status === 416) {
    response.discard();
    return { target: response.target, version: { sizeBytes: 0 }, identity, head: new Uint8Array(0) };
  }
  const sizeBytes = response.status === 206 ? partialSize(target.name, response, range) : response.lengthBytes;
  if (response.status !== 200 && response.status !== 206) throw await responseError(target.name, response);
  if (sizeBytes === null || (response.status === 200 && sizeBytes > WHOLE_BYTES_MAX)) {
    response.discard();
    throw rangeError(target.name, rangeHeader(range), null);
  }
  const head = new Uint8Array(response.status === 200 ? sizeBytes : Math.min(sizeBytes, BLOCK_BYTES));
  await readBody(target.name, response, head, { done: 0 });
  refuseHtml(target.name, head);
  const etag = response.header("etag");
  return { target: response.target, version: { sizeBytes, ...(etag === null ? {} : { etag }) }, identity, head };
}

class HttpSource implements ByteSource {
  readonly name: string;
  readonly sizeBytes: number;
  readonly version: SourceVersion;
  readonly #session: HttpSession;
  readonly #opening: Opening;
  readonly #blockBytes: number;
  /** By index, least recently used first. */
  readonly #blocks = new Map<number, Promise<Uint8Array>>();
  readonly #closed = new AbortController();
  /** The URL itself, for when the address it redirected to has run out. */
  readonly #origin: HttpTarget;
  #location: HttpTarget;

  constructor(session: HttpSession, origin: HttpTarget, opening: Opening, blockBytes: number) {
    this.name = origin.name;
    this.#origin = origin;
    this.#location = opening.target;
    this.version = opening.version;
    this.sizeBytes = opening.version.sizeBytes;
    this.#session = session;
    this.#opening = opening;
    this.#blockBytes = blockBytes;
  }

  async readInto(target: Uint8Array, offset: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const end = offset + target.length;
    if (end > this.sizeBytes) throw truncated(this.name, offset, target.length, Math.max(0, this.sizeBytes - offset), this.sizeBytes);
    this.#session.stats.bytesNeeded += target.length;
    if (end <= this.#opening.head.length) return void target.set(this.#opening.head.subarray(offset, end));
    if (target.length >= this.#blockBytes * 2) return this.#fetch(target, offset, signal);
    const first = Math.floor(offset / this.#blockBytes);
    const last = Math.floor((end - 1) / this.#blockBytes);
    for (let index = first; target.length > 0 && index <= last; index += 1) {
      const block = await this.#block(index);
      const begin = Math.max(offset, index * this.#blockBytes);
      const stop = Math.min(end, index * this.#blockBytes + block.length);
      target.set(block.subarray(begin - index * this.#blockBytes, stop - index * this.#blockBytes), begin - offset);
    }
  }

  async close(): Promise<void> {
    this.#closed.abort();
    this.#blocks.clear();
  }

  /** Concurrent readers of one block share one request. */
  #block(index: number): Promise<Uint8Array> {
    const begin = index * this.#blockBytes;
    const present = this.#blocks.get(index);
    const block = present ?? this.#fetchBlock(begin);
    this.#blocks.delete(index);
    this.#blocks.set(index, block);
    if (present === undefined) block.catch(() => this.#blocks.delete(index));
    const oldest = this.#blocks.keys().next().value;
    if (this.#blocks.size > BLOCKS_MAX && oldest !== undefined) this.#blocks.delete(oldest);
    return block;
  }

  async #fetchBlock(begin: number): Promise<Uint8Array> {
    const block = new Uint8Array(Math.min(this.#blockBytes, this.sizeBytes - begin));
    await this.#fetch(block, begin, this.#session.signal);
    return block;
  }

  async #fetch(target: Uint8Array, offset: number, signal: AbortSignal | undefined): Promise<void> {
    const progress = { done: 0 };
    const stop = AbortSignal.any([
      this.#closed.signal,
      ...(signal ? [signal] : []),
      ...(this.#session.signal ? [this.#session.signal] : []),
    ]);
    await withRetries(this.#session, this.name, stop, (idleMs) => this.#request(target, offset, progress, idleMs, stop));
  }

  async #request(target: Uint8Array, offset: number, progress: { done: number }, idleMs: number, signal: AbortSignal): Promise<void> {
    const range = { begin: offset + progress.done, end: offset + target.length };
    const { identity } = this.#opening;
    const strong = identity !== null && /^"[^"]*"$/.test(identity);
    const headers = { range: rangeHeader(range), ...(strong ? { "if-range": identity } : {}) };
    const location = this.#location;
    const response = await send(this.#session, location, { headers, idleMs, signal, bulk: true });
    if (hasRunOut(response.status, location !== this.#origin)) {
      response.discard();
      this.#location = this.#origin;
      throw runOut(this.name);
    }
    if (response.status !== 206 && response.status !== 200) throw await responseError(this.name, response);
    this.#location = response.target;
    const sizeBytes = response.status === 206 ? partialSize(this.name, response, range) : response.lengthBytes;
    if (identityOf(response) !== identity || sizeBytes !== this.sizeBytes) {
      response.discard();
      throw changed(this.name, `${identity ?? ""} ${this.sizeBytes} bytes`, `${identityOf(response) ?? ""} ${sizeBytes} bytes`);
    }
    if (response.status === 200) {
      response.discard();
      throw rangeError(this.name, rangeHeader(range), null);
    }
    await readBody(this.name, response, target, progress);
  }
}

/** Fills `target` from `progress.done` on, which then says how far it got, also on failure. */
async function readBody(name: string, response: LocatedResponse, target: Uint8Array, progress: { done: number }): Promise<void> {
  await response.into({
    // Room for one byte too many: an empty space can not be filled.
    space: () => (progress.done < target.length ? target.subarray(progress.done) : new Uint8Array(1)),
    filled: (count) => {
      if (progress.done + count > target.length)
        throw lengthError(name, "the body is longer than its range", target.length, progress.done + count);
      progress.done += count;
      return null;
    },
  });
  if (progress.done < target.length) throw shortBody(name, target.length, progress.done);
}

/** Size of the whole file by an answer to a range request, which must be about that range from its first byte on. */
function partialSize(name: string, response: LocatedResponse, asked: { begin: number; end: number }): number | null {
  const answered = parseContentRange(response.header("content-range"));
  const end = answered?.sizeBytes == null ? asked.end : Math.min(asked.end, answered.sizeBytes);
  if (answered?.range?.begin === asked.begin && answered.range.end === end) return answered.sizeBytes;
  response.discard();
  throw rangeError(name, rangeHeader(asked), response.header("content-range"));
}

/** What tells two versions apart, weak or strong: the parts are compared, not put together. */
function identityOf(response: LocatedResponse): string | null {
  return response.header("etag") ?? response.header("last-modified");
}
