/** A body that goes from its connection straight into a sink, past the HTTP parser: its head has said how long it is. */
import type { BodySink } from "./body-sink.ts";

/** What a diverted body needs of its connection. */
export interface BodyCarrier {
  /** Reads on. */
  resume(): void;
  /** The body is complete: the connection stands at the beginning of the next head. */
  finished(): void;
  /** The body is given up, and with it the connection, which stands somewhere inside it. */
  broken(): void;
}

/** Who watches a body. */
export interface BodyWatcher {
  /** Bytes arrived. */
  received(count: number): void;
  /** Whether a byte is waited for from now on, or the consumer. */
  awaiting(byte: boolean): void;
}

/** More bytes than the head declared came in one piece with the last ones. */
export class SurplusBytes extends Error {}

/** Takes exactly `lengthBytes` bytes from its connection. What arrives before there is a sink is held: at most what one read returns. */
export class DivertedBody {
  readonly #carrier: BodyCarrier;
  #remaining: number;
  #held: Uint8Array[] = [];
  #sink: BodySink | null = null;
  #watcher: BodyWatcher | null = null;
  /** The sink's memory that the connection reads into. */
  #lent: Uint8Array | null = null;
  /** Promises of the sink that are not kept yet. */
  #waits = 0;
  #failure: { readonly error: unknown } | null = null;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(carrier: BodyCarrier, lengthBytes: number) {
    this.#carrier = carrier;
    this.#remaining = lengthBytes;
  }

  /** Whether every byte has arrived. */
  get isComplete(): boolean {
    return this.#remaining === 0;
  }

  /** Memory for the connection's next read; null while there is no sink. */
  space(): Uint8Array | null {
    if (this.#sink === null || this.#remaining === 0) return null;
    this.#lent = this.#sink.space().subarray(0, this.#remaining);
    return this.#lent;
  }

  /** Bytes that the connection has read, into `space()` or elsewhere. Returns whether it shall read on. */
  take(bytes: Uint8Array): boolean {
    if (this.#sink === null) {
      if (bytes.length > 0) this.#held.push(bytes);
      return false;
    }
    try {
      if (bytes.length > this.#remaining) this.fail(new SurplusBytes("more bytes than declared"));
      else if (bytes.buffer === this.#lent?.buffer && bytes.byteOffset === this.#lent.byteOffset) this.#filled(bytes.length);
      else this.#copy(bytes);
    } catch (error) {
      this.fail(error);
    }
    // An idle connection is read as well: that is how its end is noticed.
    return this.#remaining === 0 || (this.#waits === 0 && this.#failure === null);
  }

  /**
   * Lets the bytes flow into `sink`. Resolves after the last one, at which point the sink may still be busy with it.
   * @throws what the sink refused with, or what the connection failed with; {SurplusBytes}.
   */
  into(sink: BodySink, watcher: BodyWatcher): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#sink = sink;
      this.#watcher = watcher;
      const held = this.#held;
      this.#held = [];
      watcher.awaiting(true);
      for (const each of held) this.take(each);
      // It may have broken before anybody asked; what had arrived counts all the same.
      if (this.#failure !== null) reject(this.#failure.error);
      else if (this.#waits === 0 && this.#remaining > 0) this.#carrier.resume();
    });
  }

  /** Ends the body early. No-op after its end. */
  fail(error: unknown): void {
    if (this.#remaining === 0 || this.#failure !== null) return;
    this.#failure = { error };
    this.#carrier.broken();
    this.#reject(error);
  }

  #copy(bytes: Uint8Array): void {
    for (let position = 0; position < bytes.length; ) {
      const space = this.space();
      if (space === null) return;
      const part = bytes.subarray(position, position + space.length);
      space.set(part);
      position += part.length;
      this.#filled(part.length);
    }
  }

  #filled(count: number): void {
    this.#watcher?.received(count);
    // A sink that refuses the last bytes refuses the body: it is complete only after this.
    const busy = this.#sink?.filled(count) ?? null;
    this.#remaining -= count;
    if (this.#remaining === 0) {
      this.#watcher?.awaiting(false);
      this.#carrier.finished();
      this.#resolve();
    } else if (busy !== null) this.#waitFor(busy);
    else if (this.#waits === 0) this.#watcher?.awaiting(true);
  }

  #waitFor(busy: Promise<void>): void {
    this.#waits += 1;
    this.#watcher?.awaiting(false);
    busy.then(
      () => {
        this.#waits -= 1;
        if (this.#waits > 0 || this.#failure !== null || this.#remaining === 0) return;
        this.#watcher?.awaiting(true);
        this.#carrier.resume();
      },
      (error: unknown) => this.fail(error),
    );
  }
}
