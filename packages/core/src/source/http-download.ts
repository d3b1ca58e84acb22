/**
 * One file over HTTP into a partial file: which request comes next, and what its answer means. The parts themselves are fetched by `http-parts.ts`.
 *
 * The first request already asks for a range. 206 tells the size, the version and that ranges work: the rest is fetched in parallel. 200 is the whole
 * file: one stream. Bytes are only ever put together when one strong validator covers all of them.
 */
import type { ByteRange } from "./byte-range.ts";
import { parseContentRange, rangeHeader } from "./byte-range.ts";
import type { FetchListener } from "./fetch-event.ts";
import { type AnnouncedDigest, announcedDigests, HEAD_BYTES, refuseHtml } from "./http-body-checks.ts";
import { changed, hasRunOut, lengthError, rangeError, runOut, statusError } from "./http-errors.ts";
import { type Cursor, fetchParts, receive } from "./http-parts.ts";
import { type LocatedResponse, send } from "./http-request.ts";
import type { HttpSession } from "./http-session.ts";
import { type HttpTarget, publicName } from "./http-url.ts";
import type { PartialFile } from "./partial-file.ts";
import { ProgressMeter } from "./progress-meter.ts";
import { isSameVersion, type RemoteVersion, remoteVersion, strongValidator } from "./remote-version.ts";
import { responseError } from "./response-error.ts";
import { RetryPolicy } from "./retry-policy.ts";

/** What to download, and into what. */
export interface DownloadRequest {
  readonly session: HttpSession;
  readonly target: HttpTarget;
  /** Its bytes are continued when they are of the version the server has. */
  readonly partial: PartialFile;
  /** A digest of the file is known and will be compared: a body whose end can not be proved is acceptable. */
  readonly digestKnown?: boolean;
  readonly listener?: FetchListener | undefined;
}

/** What the server said about the file that was downloaded. */
export interface DownloadOutcome {
  readonly sizeBytes: number;
  /** Validators as they came, weak ones included. */
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** Where the bytes came from in the end, without secrets. */
  readonly finalName: string;
  readonly announced: readonly AnnouncedDigest[];
}

/**
 * Downloads until the partial file is complete.
 * @throws {SourceError} NETWORK, NETWORK_SILENT, TLS, HTTP_*, REDIRECT, NOT_FOUND, SOURCE_CHANGED, DISK_FULL (all RANKCAST_); the reason of an aborted signal.
 */
export async function download(request: DownloadRequest): Promise<DownloadOutcome> {
  return new Download(request).run();
}

/** Thrown to start again from byte 0; `why` becomes the error when it happens too often. */
class Restart extends Error {
  readonly why: Error;

  constructor(why: Error) {
    super("restart");
    this.why = why;
  }
}

const RESTARTS_MAX = 3;

class Download {
  readonly #request: DownloadRequest;
  readonly #session: HttpSession;
  readonly #partial: PartialFile;
  readonly #name: string;
  readonly #policy: RetryPolicy;
  readonly #meter: ProgressMeter;
  /** Where the last answer came from: later parts skip the redirects. */
  #location: HttpTarget;
  /** Ranges can not be used with this server or file. */
  #wholeOnly = false;
  /** The most bytes any try has had: less is no progress. */
  #bestBytes = 0;

  constructor(request: DownloadRequest) {
    this.#request = request;
    this.#session = request.session;
    this.#partial = request.partial;
    this.#name = request.target.name;
    this.#location = request.target;
    this.#bestBytes = request.partial.doneBytes;
    this.#meter = new ProgressMeter(this.#name, request.listener);
    this.#policy = new RetryPolicy(this.#session.limits, ({ error, delayMs }) => {
      this.#session.stats.retries += 1;
      this.#meter.retries += 1;
      request.listener?.({ type: "retry", name: this.#name, code: error.code, message: error.message, delayMs });
    });
  }

  async run(): Promise<DownloadOutcome> {
    const run = this.#policy.start();
    for (let restarts = 0; ; ) {
      try {
        const opening = await this.#session.connections.with(() => this.#ask());
        const { response, sizeBytes } = await this.#receiveAll(opening);
        refuseHtml(this.#name, await this.#partial.head(HEAD_BYTES));
        this.#meter.end();
        return this.#describe(response, sizeBytes);
      } catch (error) {
        if (error instanceof Restart) {
          restarts += 1;
          if (restarts > RESTARTS_MAX) throw error.why;
          await this.#reset();
          continue;
        }
        if (this.#partial.doneBytes > this.#bestBytes) run.failures = 0;
        this.#bestBytes = Math.max(this.#bestBytes, this.#partial.doneBytes);
        await this.#policy.again(run, error, this.#name, this.#session.signal);
      }
    }
  }

  /** Sends the next opening request and understands its answer. */
  async #ask(): Promise<Opening> {
    const asked = this.#wholeOnly ? null : this.#nextRange();
    const validator = this.#partial.doneBytes > 0 && this.#partial.remote ? strongValidator(this.#partial.remote) : null;
    const response = await send(this.#session, this.#location, {
      headers: {
        ...(asked ? { range: rangeHeader(asked) } : {}),
        ...(asked && validator ? { "if-range": validator } : {}),
      },
      idleMs: this.#policy.attemptIdleMs,
      bulk: true,
    });
    this.#policy.sign();
    if (response.status === 200) return this.#openWhole(response);
    if (response.status === 206 && asked) return this.#openRange(response, asked);
    if (response.status === 416 && asked) {
      // The file is empty or shorter than what we have of it: asked for without a range, the server can only send it.
      response.discard();
      this.#wholeOnly = true;
      throw new Restart(statusError(this.#name, 416, ""));
    }
    return this.#refuse(response);
  }

  /** First missing part; one byte when all are there, to learn whether they are still what the server has. */
  #nextRange(): ByteRange {
    const remote = this.#partial.remote;
    const gap = remote ? this.#partial.missing(remote.sizeBytes)[0] : { begin: 0, end: Number.POSITIVE_INFINITY };
    if (gap === undefined) return { begin: 0, end: 1 };
    return { begin: gap.begin, end: Math.min(gap.end, gap.begin + this.#session.limits.httpRangeBytes) };
  }

  async #openWhole(response: LocatedResponse): Promise<Opening> {
    if (!response.framed && !this.#request.digestKnown) {
      response.discard();
      throw lengthError(this.#name, "neither Content-Length nor chunks: a cut file could not be told from a complete one", null, null);
    }
    await this.#reset();
    if (response.lengthBytes !== null) await this.#begin(response, remoteVersion(response, response.lengthBytes));
    return { response, range: { begin: 0, end: response.lengthBytes ?? Number.POSITIVE_INFINITY }, version: null };
  }

  async #openRange(response: LocatedResponse, asked: ByteRange): Promise<Opening> {
    const answered = parseContentRange(response.header("content-range"));
    const range = answered?.range;
    const wrong =
      !answered ||
      !range ||
      range.begin !== asked.begin ||
      range.end > asked.end ||
      (response.lengthBytes ?? range.end - range.begin) !== range.end - range.begin;
    if (wrong) {
      response.discard();
      throw rangeError(this.#name, rangeHeader(asked), response.header("content-range"));
    }
    const version = answered.sizeBytes === null ? null : remoteVersion(response, answered.sizeBytes);
    const complete = version !== null && range.begin === 0 && range.end === version.sizeBytes;
    if (version === null || (strongValidator(version) === null && !complete)) {
      response.discard();
      this.#wholeOnly = true;
      throw new Restart(rangeError(this.#name, rangeHeader(asked), response.header("content-range")));
    }
    const before = this.#partial.remote;
    if (before && this.#partial.doneBytes > 0 && !isSameVersion(before, version)) {
      response.discard();
      throw new Restart(changed(this.#name, JSON.stringify(before), JSON.stringify(version)));
    }
    await this.#begin(response, version);
    return { response, range, version };
  }

  async #begin(response: LocatedResponse, version: RemoteVersion): Promise<void> {
    try {
      await this.#partial.begin(version);
    } catch (error) {
      response.discard();
      throw error;
    }
    this.#location = response.target;
    this.#meter.bytesTotal = version.sizeBytes;
    this.#meter.bytesBefore = this.#partial.doneBytes;
    for (const each of announcedDigests(response, response.status === 200)) this.#partial.want(each.algorithm);
  }

  /** Returns the opening's head and the size of the complete file. */
  async #receiveAll(opening: Opening): Promise<{ response: LocatedResponse; sizeBytes: number }> {
    const { response, range, version } = opening;
    const parts = {
      session: this.#session,
      partial: this.#partial,
      policy: this.#policy,
      meter: this.#meter,
      name: this.#name,
    };
    if (version === null) {
      const cursor: Cursor = { position: 0, end: range.end };
      await this.#session.connections.with(() => receive(parts, response, cursor));
      return { response, sizeBytes: cursor.position };
    }
    const outcome = await fetchParts(parts, { response, range, version, location: this.#location, origin: this.#request.target });
    if (outcome.complete) return { response, sizeBytes: version.sizeBytes };
    this.#wholeOnly = !outcome.changed;
    throw new Restart(outcome.why);
  }

  async #reset(): Promise<void> {
    await this.#partial.reset();
    this.#meter.restart();
  }

  async #refuse(response: LocatedResponse): Promise<never> {
    if (hasRunOut(response.status, this.#location !== this.#request.target)) {
      response.discard();
      this.#location = this.#request.target;
      throw runOut(this.#name);
    }
    throw await responseError(this.#name, response);
  }

  #describe(response: LocatedResponse, sizeBytes: number): DownloadOutcome {
    return {
      sizeBytes,
      etag: response.header("etag"),
      lastModified: response.header("last-modified"),
      finalName: publicName(response.url),
      announced: announcedDigests(response, response.status === 200),
    };
  }
}

interface Opening {
  readonly response: LocatedResponse;
  /** What its body is. */
  readonly range: ByteRange;
  /** Null for a whole file in one stream. */
  readonly version: RemoteVersion | null;
}
