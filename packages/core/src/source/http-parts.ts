/** Fetches the parts of one version of a file in parallel, each into its place. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { BlockWriter } from "./block-writer.ts";
import { type ByteRange, parseContentRange, rangeHeader } from "./byte-range.ts";
import { ConnectionWindow } from "./connection-window.ts";
import { refuseHtml } from "./http-body-checks.ts";
import { changed, hasRunOut, lengthError, rangeError, runOut, shortBody } from "./http-errors.ts";
import { type LocatedResponse, send } from "./http-request.ts";
import type { HttpSession } from "./http-session.ts";
import type { HttpTarget } from "./http-url.ts";
import { PartQueue } from "./part-queue.ts";
import type { PartialFile } from "./partial-file.ts";
import type { ProgressMeter } from "./progress-meter.ts";
import { isSameVersion, type RemoteVersion, remoteVersion, strongValidator } from "./remote-version.ts";
import { responseError } from "./response-error.ts";
import type { RetryPolicy } from "./retry-policy.ts";
import { TransferLoad } from "./transfer-load.ts";

/** What all parts of one download share. */
export interface PartContext {
  readonly session: HttpSession;
  readonly partial: PartialFile;
  readonly policy: RetryPolicy;
  readonly meter: ProgressMeter;
  readonly name: string;
}

/** Where a body is written. */
export interface Cursor {
  position: number;
  /** The body must end here; infinite when its length is not known. */
  end: number;
}

/** Who watches a body being received. */
export interface ReceiptWatcher {
  readonly onBytes?: (count: number) => void;
  /** The connection was not read for this long, because the disk was behind. */
  readonly onStall?: (ms: number) => void;
}

/** The first part's answer, and where it came from. */
export interface PartsOpening {
  readonly response: LocatedResponse;
  readonly range: ByteRange;
  readonly version: RemoteVersion;
  /** Where parts are asked for. */
  readonly location: HttpTarget;
  /** The URL itself, for when that address runs out. */
  readonly origin: HttpTarget;
}

/** All parts are there, or they can not be put together: the file changed, or the server stopped honouring ranges. */
export type PartsOutcome = { readonly complete: true } | { readonly complete: false; readonly changed: boolean; readonly why: SourceError };

/**
 * Writes a body from `cursor.position` to `cursor.end`. The cursor then stands after the last byte that is safely written, also on failure.
 * @throws {SourceError} as the body and the partial file throw; RANKCAST_HTTP_LENGTH, RANKCAST_HTTP_SHORT, RANKCAST_HTTP_HTML.
 */
export async function receive(
  context: PartContext,
  response: LocatedResponse,
  cursor: Cursor,
  watcher: ReceiptWatcher = {},
): Promise<void> {
  const { partial } = context;
  const writer = new BlockWriter({
    write: (block, position) => partial.write(block, position),
    isAwaited: (range) => partial.watcher?.awaits(range) ?? false,
    onBytes: (count, first) => {
      if (first !== null && received === 0) refuseHtml(context.name, first);
      received += count;
      if (received > cursor.end) throw lengthError(context.name, `the body goes on after its end at ${cursor.end}`, cursor.end, received);
      context.policy.sign();
      context.meter.add(count);
      watcher.onBytes?.(count);
    },
    onStall: (ms) => watcher.onStall?.(ms),
    blocks: partial.blocks,
    position: cursor.position,
  });
  const stopNudging = partial.watcher?.onAwaited(() => writer.nudge());
  let received = cursor.position;
  try {
    await response.into(writer);
  } finally {
    stopNudging?.();
    await writer.flush().finally(() => {
      cursor.position = writer.written;
    });
  }
  if (Number.isFinite(cursor.end) && cursor.position < cursor.end) throw shortBody(context.name, cursor.end, cursor.position);
}

/**
 * Fetches everything the partial file misses; the opening's answer is the first part.
 * @throws {SourceError} as `receive` and `send` throw, after retries.
 */
export async function fetchParts(context: PartContext, opening: PartsOpening): Promise<PartsOutcome> {
  return new PartFetch(context, opening).run();
}

/** Thrown when parts can not be put together. */
class PartsUnusable extends Error {
  readonly changed: boolean;
  readonly why: SourceError;

  constructor(changed: boolean, why: SourceError) {
    super("parts unusable");
    this.changed = changed;
    this.why = why;
  }
}

const PUSH_BACK = new Set([429, 503]);

class PartFetch {
  readonly #context: PartContext;
  readonly #opening: PartsOpening;
  readonly #validator: string;
  readonly #queue: PartQueue;
  readonly #window: ConnectionWindow;
  readonly #load = new TransferLoad();
  readonly #stop = new AbortController();
  readonly #workers: Promise<void>[] = [];
  #running = 0;
  #location: HttpTarget;
  #failure: { readonly error: unknown } | undefined;

  constructor(context: PartContext, opening: PartsOpening) {
    this.#context = context;
    this.#opening = opening;
    this.#validator = strongValidator(opening.version) ?? "";
    this.#location = opening.location;
    const { limits } = context.session;
    const gaps = context.partial.missing(opening.version.sizeBytes).flatMap((gap) => without(gap, opening.range));
    this.#queue = new PartQueue(gaps, limits.httpRangeBytes);
    this.#window = new ConnectionWindow(limits.httpConnections, performance.now(), () => this.#load.look());
  }

  async run(): Promise<PartsOutcome> {
    const { signal } = this.#context.session;
    const cancel = (): void => this.#stop.abort(signal?.reason);
    signal?.addEventListener("abort", cancel, { once: true });
    this.#stop.signal.addEventListener("abort", () => this.#opening.response.discard(), { once: true });
    try {
      this.#spawn(this.#opening.range);
      this.#grow();
      for (let index = 0; index < this.#workers.length; index += 1) await this.#workers[index];
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
    const error = this.#failure?.error;
    if (error === undefined) return { complete: true };
    if (error instanceof PartsUnusable) return { complete: false, changed: error.changed, why: error.why };
    throw error;
  }

  #grow(): void {
    while (this.#running < this.#window.allowed && !this.#queue.isEmpty && !this.#stop.signal.aborted) this.#spawn(null);
  }

  /** One connection: the opening's part or the next one, and then whatever is next, until nothing is left or the server wants fewer. */
  #spawn(first: ByteRange | null): void {
    this.#running += 1;
    const work = async (): Promise<void> => {
      let rate = 0;
      const next = (): ByteRange | null => this.#queue.next({ rate, connections: this.#window.allowed });
      for (let part = first ?? next(); part !== null; part = this.#running > this.#window.allowed ? null : next()) {
        const begunMs = performance.now();
        await this.#fetch(part, part === first ? this.#opening.response : undefined);
        rate = (part.end - part.begin) / (performance.now() - begunMs);
      }
    };
    this.#workers.push(
      work()
        .catch((error: unknown) => {
          this.#failure ??= { error };
          this.#stop.abort();
        })
        .finally(() => {
          this.#running -= 1;
        }),
    );
  }

  async #fetch(part: ByteRange, answer?: LocatedResponse): Promise<void> {
    const { policy, name } = this.#context;
    const run = policy.start();
    const cursor: Cursor = { position: part.begin, end: part.end };
    let opened = answer;
    while (cursor.position < part.end) {
      const before = cursor.position;
      try {
        await this.#withConnection(() => this.#receive(part, cursor, opened));
      } catch (error) {
        if (cursor.position > before) run.failures = 0;
        if (
          error instanceof SourceError &&
          (PUSH_BACK.has(Number(error.details["status"])) || error.details["systemError"] === "ECONNRESET")
        ) {
          this.#window.pushedBack();
        }
        await policy.again(run, error, name, this.#stop.signal);
      }
      opened = undefined;
    }
  }

  async #withConnection(action: () => Promise<void>): Promise<void> {
    const asked = performance.now();
    await this.#context.session.connections.with(async () => {
      this.#context.policy.excuse(performance.now() - asked);
      await action();
    });
  }

  async #receive(part: ByteRange, cursor: Cursor, opened: LocatedResponse | undefined): Promise<void> {
    cursor.end = part.end;
    const response = opened ?? (await this.#ask(cursor));
    await receive(this.#context, response, cursor, {
      onBytes: (count) => {
        if (this.#window.received(count, performance.now())) this.#grow();
      },
      onStall: (ms) => this.#load.stalled(ms),
    });
  }

  /** Asks for what the cursor stands for; a server may answer with the beginning of it, and `cursor.end` is then moved. */
  async #ask(cursor: Cursor): Promise<LocatedResponse> {
    const { session, policy, name } = this.#context;
    const range = rangeHeader({ begin: cursor.position, end: cursor.end });
    const location = this.#location;
    const response = await send(session, location, {
      headers: { range, "if-range": this.#validator },
      idleMs: policy.attemptIdleMs,
      signal: this.#stop.signal,
      bulk: true,
    });
    policy.sign();
    if (response.status === 206) {
      this.#location = response.target;
      return this.#checkPart(response, cursor, range);
    }
    if (response.status === 200) {
      response.discard();
      throw this.#unusable(remoteVersion(response, response.lengthBytes ?? -1), rangeError(name, range, null));
    }
    if (hasRunOut(response.status, location !== this.#opening.origin)) {
      response.discard();
      if (this.#location === location) this.#location = this.#opening.origin;
      throw runOut(name);
    }
    throw await responseError(name, response);
  }

  #checkPart(response: LocatedResponse, cursor: Cursor, asked: string): LocatedResponse {
    const answered = parseContentRange(response.header("content-range"));
    const { range, sizeBytes } = answered ?? { range: null, sizeBytes: null };
    const refuse = (error: Error): never => {
      response.discard();
      throw error;
    };
    if (
      range === null ||
      range.begin !== cursor.position ||
      range.end > cursor.end ||
      (response.lengthBytes ?? range.end - range.begin) !== range.end - range.begin
    ) {
      return refuse(rangeError(this.#context.name, asked, response.header("content-range")));
    }
    const version = remoteVersion(response, sizeBytes ?? this.#opening.version.sizeBytes);
    if (!isSameVersion(version, this.#opening.version))
      return refuse(this.#unusable(version, rangeError(this.#context.name, asked, "no validator")));
    cursor.end = range.end;
    return response;
  }

  /** A different validator means another version; an absent or equal one, that ranges do not work here. */
  #unusable(found: RemoteVersion, otherwise: SourceError): PartsUnusable {
    const validator = strongValidator(found);
    const isOther =
      (validator !== null && validator !== this.#validator) ||
      (found.sizeBytes >= 0 && found.sizeBytes !== this.#opening.version.sizeBytes);
    return new PartsUnusable(
      isOther,
      isOther ? changed(this.#context.name, this.#validator, validator ?? `${found.sizeBytes} bytes`) : otherwise,
    );
  }
}

function without(gap: ByteRange, taken: ByteRange): ByteRange[] {
  const before = { begin: gap.begin, end: Math.min(gap.end, taken.begin) };
  const after = { begin: Math.max(gap.begin, taken.end), end: gap.end };
  return [before, after].filter((each) => each.begin < each.end);
}
