/** The listening side of one lane connection: who asks, for which broadcast, and what. */
import { DIGEST_BYTES, encodeHead, type FrameHead } from "./frame.ts";
import { FrameError, type FrameListener, FrameParser } from "./frame-parser.ts";
import type { LaneConnection } from "./lane.ts";
import type { ServeDriver, ServedConnection } from "./serve-driver.ts";

/** Finds broadcasts. */
export interface BroadcastTable {
  /** The broadcast served under this digest; null when it has ended. Not known yet: waits until it is, or until `abandoned`. */
  find(digest: string, abandoned: AbortSignal): Promise<ServeDriver | null>;
  /** The largest bitmap that makes sense. */
  readonly bitmapBytesMax: number;
}

/** Serves one connection until it ends. */
export function serveConnection(connection: LaneConnection, table: BroadcastTable): void {
  const requests = new Requests(connection, table);
  const parser = new FrameParser(requests);
  connection.start({
    onBytes(bytes) {
      try {
        parser.feed(bytes);
      } catch (error) {
        if (!(error instanceof FrameError) && !(error instanceof RangeError)) throw error;
        connection.destroy();
      }
    },
    onClose: () => requests.close(),
  });
}

class Requests implements FrameListener {
  readonly #connection: LaneConnection;
  readonly #table: BroadcastTable;
  readonly #abandoned = new AbortController();
  #head: FrameHead | null = null;
  #payload: Buffer = Buffer.alloc(0);
  #payloadBytes = 0;
  #asked = false;
  #served: ServedConnection | null = null;

  constructor(connection: LaneConnection, table: BroadcastTable) {
    this.#connection = connection;
    this.#table = table;
  }

  /** @throws {FrameError} for what no receiver says. */
  onHead(head: FrameHead): void {
    const asks = head.type === "subscribe" || head.type === "join" || head.type === "probe";
    const carries = asks || head.type === "lost";
    if (head.payloadBytes > (carries ? this.#table.bitmapBytesMax : 0)) throw new FrameError("a request is too long");
    if (head.type === "chunk" || head.type === "have") throw new FrameError("a receiver sent what only senders send");
    // One request per connection; the rest is about it.
    if (asks === this.#asked) throw new FrameError("requests came in a wrong order");
    this.#asked = true;
    this.#head = head;
    this.#payload = Buffer.alloc(head.payloadBytes);
    this.#payloadBytes = 0;
  }

  /** A piece of the bitmap. */
  onPayload(bytes: Uint8Array): void {
    this.#payload.set(bytes, this.#payloadBytes);
    this.#payloadBytes += bytes.length;
  }

  /** @throws {RangeError} when the request does not fit the broadcast. */
  onFrameEnd(): void {
    const head = this.#head;
    if (head === null) return;
    if (head.type === "subscribe" || head.type === "join" || head.type === "probe") void this.#answer(head, this.#payload);
    else if (head.type === "lost") this.#served?.lost(head.number, this.#payload);
    else if (head.type === "acknowledged") this.#served?.acknowledged(head.number);
    else if (head.type === "alive") this.#served?.alive();
    else if (head.type === "finished") {
      this.#served?.finished();
      this.#connection.destroy();
    }
  }

  close(): void {
    this.#abandoned.abort();
    this.#served?.gone();
    this.#served = null;
  }

  async #answer(head: FrameHead, bitmap: Buffer): Promise<void> {
    const { digest, type } = head;
    // Who asks whether something is here wants to know now.
    const driver = await this.#table.find(digest, type === "probe" ? AbortSignal.abort() : this.#abandoned.signal);
    if (this.#abandoned.signal.aborted) return;
    try {
      if (type === "probe")
        this.#connection.write([encodeHead({ type: "have", digest, number: driver?.count(bitmap) ?? 0 })], () => undefined);
      else if (driver === null) this.#connection.destroy();
      else {
        this.#served = driver.subscribe(this.#connection, head, bitmap);
      }
    } catch {
      // Its bitmap is of another broadcast, or the bytes cannot be read any more.
      this.#connection.destroy();
    }
  }
}

/** The digest as heads carry it. */
export function headDigest(digest: Uint8Array): string {
  return Buffer.from(digest).toString("hex", 0, DIGEST_BYTES);
}
