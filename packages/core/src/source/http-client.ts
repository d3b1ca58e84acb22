/**
 * One HTTP exchange; the only importer of node-fetch (law L7).
 *
 * What node-fetch does by itself and must not do here: follow redirects (to `data:` as well, and with `Authorization` to another port of the host),
 * inflate bodies, wait for ever. So redirects are manual, compression is off and refused, and silence ends the exchange.
 */
import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import fetch from "node-fetch";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { BodySink } from "./body-sink.ts";
import type { DivertedBody } from "./diverted-body.ts";
import { type BodyParts, fillSink, readBody } from "./http-body.ts";
import { connectionError, lengthError, silent } from "./http-errors.ts";
import { publicName } from "./http-url.ts";
import { PieceReader } from "./piece-reader.ts";
import { SilenceWatch } from "./silence-watch.ts";
import { divertBody } from "./tapped-connection.ts";

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
  /** The body of a good answer will be taken with `into`: a large one then comes straight from the connection. */
  readonly bulk?: boolean;
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
  /**
   * Puts the body into a sink; resolves when exactly `lengthBytes` bytes are there.
   * @throws {SourceError} as `body`; what the sink refuses with.
   */
  into(sink: BodySink): Promise<void>;
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
  const diverted: { body: DivertedBody | null } = { body: null };
  try {
    watch.await();
    const answer = await fetch(request.url.href, {
      method: request.method,
      headers: { ...request.headers },
      agent: request.bulk ? diverting(request.agent, diverted) : request.agent,
      redirect: "manual",
      compress: false,
      signal: controller.signal,
      ...(request.body === undefined ? {} : { body: request.body }),
    });
    watch.pause();
    const stream = answer.body as (NodeJS.ReadableStream & { destroy(): void }) | null;
    const reader = diverted.body === null ? new PieceReader(stream) : null;
    const discard = (): void => {
      release();
      controller.abort();
      stream?.destroy();
    };
    // Its connection is no longer the one that node-fetch knows of.
    controller.signal.addEventListener("abort", () => diverted.body?.fail(ABORTED), { once: true });
    const head = readHead(name, (header) => answer.headers.get(header), discard);
    // HEAD declares the length of a body that does not come.
    const expected = request.method === "HEAD" || answer.status === 204 || answer.status === 304 ? 0 : head.lengthBytes;
    const parts: BodyParts = { name, expected, reader, watch, explain, discard, release, onBytes: request.onBytes ?? (() => undefined) };
    return {
      status: answer.status,
      url: request.url,
      name,
      ...head,
      header: (header) => answer.headers.get(header),
      body: () => readBody(parts),
      into: (sink) => fillSink(parts, diverted.body, sink),
      discard,
    };
  } catch (error) {
    const reason = explain(error);
    release();
    throw reason;
  }
}

const ABORTED = Object.assign(new Error("aborted"), { code: "ABORT_ERR" });
/** A shorter body arrives with its head. */
const BULK_BYTES_MIN = 16_384;

/** `agent`, but the body of a good answer of known length is taken away from Node's parser, and so from node-fetch, which gives it to `diverted` instead. */
function diverting(agent: Agent, diverted: { body: DivertedBody | null }): Agent {
  const addRequest = (message: ClientRequest, ...rest: unknown[]): void => {
    // After the socket, node-fetch has its own listener: it sees the answer first, and this one the last moment before the body.
    message.once("socket", (socket) =>
      message.once("response", (answer) => {
        diverted.body = bulkBody(socket, answer);
      }),
    );
    (agent as AgentInternals).addRequest(message, ...rest);
  };
  return Object.create(agent, { addRequest: { value: addRequest } }) as Agent;
}

/** What every agent has, for Node's own use. */
interface AgentInternals extends Agent {
  addRequest(message: ClientRequest, ...rest: unknown[]): void;
}

function bulkBody(connection: unknown, answer: IncomingMessage): DivertedBody | null {
  const { statusCode, headers, httpVersion } = answer;
  const length = headers["content-length"] ?? "";
  if ((statusCode !== 200 && statusCode !== 206) || headers["transfer-encoding"] !== undefined || !/^\d{1,15}$/.test(length)) return null;
  if (Number(length) < BULK_BYTES_MIN) return null;
  return divertBody(connection, Number(length), httpVersion === "1.1" && !/close/i.test(headers.connection ?? ""));
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
