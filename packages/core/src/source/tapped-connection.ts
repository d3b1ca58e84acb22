/**
 * A connection to a server whose large bodies do not pass through Node's HTTP parser.
 *
 * The parser copies every body into fresh 64 KiB buffers: over a GiB that is a second copy, 16 000 buffers and dozens of full garbage collections, whose
 * price grows with the heap of the program around us. So the parser gets the heads, and when one announces a long plain body (`divert`), the socket reads that
 * body straight into its consumer's memory. Node's documented means suffice: `onread` sockets, and agents that make their own connections.
 *
 *   socket ─ onread ─┬─ heads, small and chunked bodies ─► ParserSide ─► Node's parser ─► node-fetch
 *                    └─ diverted bodies ──────────────────────────────► BodySink
 *
 * The parser never sees such a body's end, so its side is closed and the socket, which stands exactly behind the body, serves the next request with a new one.
 */
import type { OnReadOpts, Socket } from "node:net";
import { Duplex } from "node:stream";
import { DivertedBody } from "./diverted-body.ts";

/** Heads and small bodies are read in pieces of this size. */
const READ_BYTES = 65_536;
/** A read into less than this is not worth its system call. */
const READ_BYTES_MIN = 16_384;
const HEAD_END = "\r\n\r\n";

/** See the module. One request at a time. */
export class TappedConnection {
  readonly #socket: Socket;
  readonly #onIdle: (connection: TappedConnection) => void;
  #parser: ParserSide | null = null;
  #body: DivertedBody | null = null;
  #reusable = false;
  /** A head is being looked for. */
  #searching = false;
  /** The parser is being given the end of a head, and nothing behind it. */
  #offering = false;
  /** The last bytes of the read before: the end of a head may lie across two. */
  #seam: Buffer = Buffer.alloc(0);
  #plain: Buffer = Buffer.alloc(0);
  #ended = false;

  /** `connect` makes the socket with these options. `onIdle` is called when it stands between two messages and may be used again. */
  constructor(connect: (onread: OnReadOpts) => Socket, onIdle: (connection: TappedConnection) => void) {
    this.#onIdle = onIdle;
    this.#socket = connect({ buffer: () => this.#space(), callback: (count, buffer) => this.#take(buffer as Buffer, count) });
    this.#socket.on("error", (error) => this.#end(error));
    this.#socket.on("end", () => this.#end());
    this.#socket.on("close", () => this.#end());
  }

  /** Whether another request can be sent. */
  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /** What Node's parser gets as its connection, for one or more requests. */
  begin(): Duplex {
    this.#socket.ref();
    this.#parser = new ParserSide(this, this.#socket);
    return this.#parser;
  }

  /** Closes it. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** The parser's side has written a part of a request. */
  expectHead(): void {
    this.#searching = true;
    this.#seam = Buffer.alloc(0);
  }

  /** The parser has read the head of an answer. Takes its body of `lengthBytes` away from the parser; null when the parser has it already. */
  divert(lengthBytes: number, reusable: boolean): DivertedBody | null {
    if (!this.#offering) return null;
    this.#reusable = reusable;
    this.#body = new DivertedBody(
      {
        resume: () => this.#socket.resume(),
        finished: () => this.#finished(),
        broken: () => this.#socket.destroy(),
      },
      lengthBytes,
    );
    return this.#body;
  }

  /** The parser's side was closed. A connection that carries a diverted body goes on without it. */
  abandon(side: Duplex): void {
    if (this.#parser !== side) return;
    this.#parser = null;
    this.#socket.destroy();
  }

  #space(): Uint8Array {
    const lent = this.#body?.space();
    if (lent) return lent;
    if (this.#plain.length < READ_BYTES_MIN) this.#plain = Buffer.allocUnsafeSlow(READ_BYTES);
    return this.#plain;
  }

  #take(buffer: Buffer, count: number): boolean {
    const bytes = buffer.subarray(0, count);
    if (buffer.buffer === this.#plain.buffer) this.#plain = this.#plain.subarray(count);
    if (this.#body !== null) return this.#body.take(bytes);
    if (this.#parser === null) {
      // Nobody asked for anything.
      this.#socket.destroy();
      return false;
    }
    return this.#parse(this.#parser, bytes);
  }

  /** Gives the parser bytes; heads up to their last byte and alone, because `divert` may be called for what follows. */
  #parse(parser: ParserSide, bytes: Buffer): boolean {
    let rest = bytes;
    while (this.#searching) {
      const end = this.#headEnd(rest);
      if (end < 0) break;
      this.#offering = true;
      const readOn = parser.push(rest.subarray(0, end));
      this.#offering = false;
      rest = rest.subarray(end);
      if (this.#body !== null) return this.#divide(parser, this.#body, rest);
      if (rest.length === 0) return readOn;
    }
    return parser.push(rest);
  }

  /** The parser has its head; what follows is the body's. */
  #divide(parser: ParserSide, body: DivertedBody, rest: Buffer): boolean {
    this.#searching = false;
    this.#parser = null;
    // Not now: the parser is still at work.
    setImmediate(() => parser.destroy());
    return body.take(rest);
  }

  /** Where the bytes of a head end; -1 when they do not. */
  #headEnd(bytes: Buffer): number {
    const seam = Buffer.concat([this.#seam, bytes.subarray(0, HEAD_END.length - 1)]);
    const across = seam.indexOf(HEAD_END);
    if (across >= 0) return this.#found(across + HEAD_END.length - this.#seam.length);
    this.#seam = Buffer.concat([this.#seam, bytes.subarray(1 - HEAD_END.length)]).subarray(1 - HEAD_END.length);
    const within = bytes.indexOf(HEAD_END);
    return within < 0 ? -1 : this.#found(within + HEAD_END.length);
  }

  #found(end: number): number {
    this.#seam = Buffer.alloc(0);
    return end;
  }

  #finished(): void {
    this.#body = null;
    if (this.#reusable && this.isOpen) {
      this.#socket.unref();
      this.#onIdle(this);
    } else this.destroy();
  }

  #end(error?: Error): void {
    this.#body?.fail(error ?? Object.assign(new Error("closed"), { code: "ERR_STREAM_PREMATURE_CLOSE" }));
    if (this.#parser === null) this.#socket.destroy();
    else if (error !== undefined) this.#parser.destroy(error);
    // Not destroyed: the parser may still have bytes to read.
    else if (!this.#ended) this.#parser.push(null);
    this.#ended = true;
  }
}

/** The connection as Node's HTTP client sees it. */
class ParserSide extends Duplex {
  readonly #connection: TappedConnection;
  readonly #socket: Socket;

  constructor(connection: TappedConnection, socket: Socket) {
    super({ allowHalfOpen: false });
    this.#connection = connection;
    this.#socket = socket;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#connection.expectHead();
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#connection.abandon(this);
    done(error);
  }

  /** The body of the answer whose head was just read, when it can be had past the parser. */
  divert(lengthBytes: number, reusable: boolean): DivertedBody | null {
    return this.#connection.divert(lengthBytes, reusable);
  }

  // What Node's HTTP client and agent call on a socket.
  ref(): void {
    this.#socket.ref();
  }
  unref(): void {
    this.#socket.unref();
  }
  setKeepAlive(on: boolean, delayMs: number): void {
    this.#socket.setKeepAlive(on, delayMs);
  }
  setNoDelay(on: boolean): void {
    this.#socket.setNoDelay(on);
  }
  /** Silence is watched by the exchange. */
  setTimeout(): void {}
}

/** The body of the answer that `connection` has just read the head of; null when it has to be taken from the parser. */
export function divertBody(connection: unknown, lengthBytes: number, reusable: boolean): DivertedBody | null {
  return connection instanceof ParserSide ? connection.divert(lengthBytes, reusable) : null;
}
