/**
 * One HTTP exchange; the only importer of node-fetch (law L7).
 *
 * What node-fetch does by itself and must not do here: follow redirects (to `data:` as well, and with `Authorization` to another port of the host),
 * inflate bodies, wait for ever. So redirects are manual, compression is off and refused, and silence ends the exchange.
 */
import type { Agent } from "node:http";
import fetch from "node-fetch";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { connectionError, lengthError, shortBody, silent } from "./http-errors.ts";
import { publicName } from "./http-url.ts";
import { PieceReader } from "./piece-reader.ts";
import { SilenceWatch } from "./silence-watch.ts";

/** One request. */
export interface HttpRequest {
  readonly url: URL;
  readonly method: "GET" | "HEAD" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent: Agent;
  /** The exchange fails when no byte arrives for this long while one is waited for. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with the size of each piece of the body. */
  readonly onBytes?: (count: number) => void;
}

/** An answer whose body is not read yet: read it to the end or `discard` it, else its connection stays open. */
export interface HttpResponse {
  readonly status: number;
  readonly url: URL;
  /** For messages. */
  readonly name: string;
  /** Length of the body when the server declares it. */
  readonly lengthBytes: number | null;
  /** Whether a cut body can be told from a complete one: by its length, or by chunked framing. */
  readonly framed: boolean;
  header(name: string): string | null;
  /**
   * The body, in batches of pieces. Ends only after exactly `lengthBytes` bytes.
   * @throws {SourceError} RANKCAST_HTTP_SHORT, RANKCAST_HTTP_LENGTH, RANKCAST_NETWORK, RANKCAST_NETWORK_SILENT.
   */
  body(): AsyncGenerator<readonly Buffer[], void, undefined>;
  /** Drops the body and closes the connection. */
  discard(): void;
}

/**
 * Sends one request and waits for the head of the answer.
 * @throws {SourceError} RANKCAST_NETWORK, RANKCAST_NETWORK_SILENT, RANKCAST_TLS, RANKCAST_HTTP_ENCODING, RANKCAST_HTTP_LENGTH; the reason of an aborted signal.
 */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  request.signal?.throwIfAborted();
  const name = publicName(request.url);
  const controller = new AbortController();
  const watch = new SilenceWatch(request.idleMs, () => controller.abort());
  const cancel = (): void => controller.abort();
  request.signal?.addEventListener("abort", cancel, { once: true });
  const release = (): void => {
    watch.close();
    request.signal?.removeEventListener("abort", cancel);
  };
  /** The reason of a failure: the caller's, our own watch's, or the network's. */
  const explain = (error: unknown): unknown => {
    if (request.signal?.aborted) return request.signal.reason;
    return watch.expired ? silent(name, request.idleMs) : connectionError(name, error);
  };
  try {
    watch.await();
    const answer = await fetch(request.url.href, {
      method: request.method,
      headers: { ...request.headers },
      agent: request.agent,
      redirect: "manual",
      compress: false,
      signal: controller.signal,
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    watch.pause();
    const stream = answer.body as (NodeJS.ReadableStream & { destroy(): void }) | null;
    const reader = new PieceReader(stream);
    const discard = (): void => {
      release();
      controller.abort();
      stream?.destroy();
    };
    const head = readHead(name, (header) => answer.headers.get(header), discard);
    // HEAD declares the length of a body that does not come.
    const expected = request.method === "HEAD" || answer.status === 204 || answer.status === 304 ? 0 : head.lengthBytes;
    return {
      status: answer.status,
      url: request.url,
      name,
      ...head,
      header: (header) => answer.headers.get(header),
      body: () =>
        readBody({ name, expected, reader, watch, explain, discard, release, ...(request.onBytes ? { onBytes: request.onBytes } : {}) }),
      discard,
    };
  } catch (error) {
    const reason = explain(error);
    release();
    throw reason;
  }
}

function readHead(
  name: string,
  header: (name: string) => string | null,
  discard: () => void,
): { lengthBytes: number | null; framed: boolean } {
  const refuse = (error: SourceError): never => {
    discard();
    throw error;
  };
  const encoding = header("content-encoding");
  if (encoding !== null && encoding.trim() !== "" && encoding.trim().toLowerCase() !== "identity") {
    const message = `${name}: the body is encoded as ${quote(encoding)}, though only identity was accepted`;
    refuse(new SourceError("RANKCAST_HTTP_ENCODING", message, { details: { url: name, encoding } }));
  }
  const length = header("content-length");
  const chunked = header("transfer-encoding") !== null;
  if (length === null) return { lengthBytes: null, framed: chunked };
  if (chunked) refuse(lengthError(name, "the server declares both Content-Length and Transfer-Encoding", null, null));
  const lengthBytes = Number(length);
  if (!/^\d+$/.test(length) || !Number.isSafeInteger(lengthBytes))
    refuse(lengthError(name, `Content-Length is ${quote(length)}`, null, null));
  return { lengthBytes, framed: true };
}

interface BodyParts {
  readonly name: string;
  readonly expected: number | null;
  readonly reader: PieceReader;
  readonly watch: SilenceWatch;
  readonly explain: (error: unknown) => unknown;
  readonly discard: () => void;
  readonly release: () => void;
  readonly onBytes?: (count: number) => void;
}

/** Counts for itself: node-fetch reports 0 bytes and no error when a server sends one byte too many with the last ones. */
async function* readBody(parts: BodyParts): AsyncGenerator<readonly Buffer[], void, undefined> {
  const { name, expected } = parts;
  let found = 0;
  let complete = false;
  try {
    for await (const batch of parts.reader.batches(parts.watch)) {
      const length = batchBytes(batch);
      found += length;
      parts.onBytes?.(length);
      if (expected !== null && found > expected)
        throw lengthError(name, `the body is longer than its declared ${expected} bytes`, expected, found);
      yield batch;
    }
    complete = true;
  } catch (error) {
    const reason = parts.explain(error);
    const cut = reason instanceof SourceError && CUT.has(String(reason.details["systemError"]));
    throw cut ? shortBody(name, expected, found) : reason;
  } finally {
    if (complete) parts.release();
    else parts.discard();
  }
  if (expected !== null && found < expected) throw shortBody(name, expected, found);
}

/** Bytes of a batch. */
export function batchBytes(batch: readonly Uint8Array[]): number {
  return batch.reduce((sum, each) => sum + each.length, 0);
}

/** How a body that ended early shows up in Node and node-fetch. */
const CUT = new Set(["ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET", "EPIPE"]);
