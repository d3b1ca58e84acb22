/** Reads a Node stream piece by piece without losing what arrived before it broke. */
import type { SilenceWatch } from "./silence-watch.ts";

/** The stream is paused while more than this waits for the reader. */
const QUEUE_BYTES = 2 ** 20;

/**
 * Listens from the moment it is made: what arrives, or breaks, before anybody reads is not missed. An error is given after every piece that came
 * before it; a plain `for await` over the stream drops what is still in its buffer, and a resumed download would fetch that again.
 */
export class PieceReader {
  readonly #stream: NodeJS.ReadableStream | null;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(stream: NodeJS.ReadableStream | null) {
    this.#stream = stream;
    this.#ended = stream === null;
    stream?.on("data", (piece: Buffer) => this.#take(piece));
    stream?.on("end", () => this.#end());
    stream?.on("error", (error: unknown) => this.#end(error));
    stream?.on("close", () => this.#end(Object.assign(new Error("closed"), { code: "ERR_STREAM_PREMATURE_CLOSE" })));
  }

  /**
   * The pieces in order, in batches of whatever arrived in one turn of the event loop: at high speed that is dozens, and waking the reader for each
   * would cost more than moving the bytes. The watch runs only while nothing is there to give.
   * @throws what the stream failed with.
   */
  async *batches(watch: SilenceWatch): AsyncGenerator<Buffer[], void, undefined> {
    for (;;) {
      if (this.#queue.length > 0) {
        const batch = this.#queue;
        this.#queue = [];
        this.#queuedBytes = 0;
        if (this.#stream?.isPaused()) this.#stream.resume();
        yield batch;
      } else if (this.#failure !== undefined) throw this.#failure.error;
      else if (this.#ended) return;
      else {
        watch.await();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        watch.pause();
      }
    }
  }

  #take(piece: Buffer): void {
    this.#queue.push(piece);
    this.#queuedBytes += piece.length;
    if (this.#queuedBytes > QUEUE_BYTES) this.#stream?.pause();
    // The first piece of a batch wakes the reader, after the others of this turn are here.
    if (this.#queue.length === 1) setImmediate(() => this.#wake());
  }

  /** The first end counts: `close` follows both a good end and an error. */
  #end(error?: unknown): void {
    if (!this.#ended && error !== undefined) this.#failure ??= { error };
    this.#ended = true;
    this.#wake();
  }
}
