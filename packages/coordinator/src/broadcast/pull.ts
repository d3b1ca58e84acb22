/** The dialling side of a lane: one connection that chunks come over, or one that asks a question. */
import type { ChunkSet } from "@rankcast/core/runtime";
import { ChunkIntake, type ChunkTarget } from "./chunk-intake.ts";
import { encodeHead } from "./frame.ts";
import { FrameError, FrameParser } from "./frame-parser.ts";
import type { Lane, LaneConnection } from "./lane.ts";

/** Who asks, and for what. */
export interface PullTerms {
  readonly nodeRank: number;
  readonly creditBytes: number;
  /** Of the content, as heads carry it. */
  readonly digest: string;
}

/** Hears one pull. After `close`, `onCorrupt` or `onBroken` nothing more comes. */
export interface PullListener {
  onBytes(): void;
  onChunk(chunk: number, checksum: number): void;
  onCorrupt(chunk: number): void;
  onBroken(reason: string): void;
  /** The segment took no more bytes: the machine is full. */
  onWriteFailed(error: unknown): void;
}

/** One open pull. */
export interface Pull {
  /** `finished`: tell the sender that this node has every chunk. */
  close(finished: boolean): void;
}

/** While a chunk takes long, the sender hears this often that bytes still arrive. */
const ALIVE_MS = 1000;
const FAREWELL_MS = 2000;
const NOTHING = (): void => undefined;

/** Has the chunks of `want` sent here as they become available there. Dials at once; failing to is `onBroken`. */
export function openPull(lane: Lane, address: string, terms: PullTerms, want: ChunkSet, target: ChunkTarget, listener: PullListener): Pull {
  const pull = new OpenPull(terms, want, target, listener);
  lane.connect(address).then(
    (connection) => pull.begin(connection),
    (error: Error) => pull.fail(error.message),
  );
  return pull;
}

class OpenPull implements Pull {
  readonly #terms: PullTerms;
  readonly #want: ChunkSet;
  readonly #listener: PullListener;
  readonly #parser: FrameParser;
  #connection: LaneConnection | null = null;
  #over = false;
  #aliveMs = 0;

  constructor(terms: PullTerms, want: ChunkSet, target: ChunkTarget, listener: PullListener) {
    this.#terms = terms;
    this.#want = want;
    this.#listener = listener;
    const intake = new ChunkIntake(
      { ...target, write: (segment, bytes, offset) => this.#write(() => target.write(segment, bytes, offset)) },
      {
        onChunk: (chunk, checksum) => this.#acknowledge(chunk, checksum),
        onCorrupt: (chunk) => this.#end(() => listener.onCorrupt(chunk)),
        onHave: NOTHING,
      },
      terms.digest,
    );
    this.#parser = new FrameParser(intake);
  }

  begin(connection: LaneConnection): void {
    if (this.#over) {
      connection.destroy();
      return;
    }
    this.#connection = connection;
    connection.start({ onBytes: (bytes) => this.#feed(bytes), onClose: (reason) => this.fail(reason) });
    const payload = this.#want.toBytes();
    const { nodeRank, creditBytes, digest } = this.#terms;
    const head = encodeHead({ type: "subscribe", digest, number: nodeRank, creditBytes, payloadBytes: payload.length });
    connection.write([head, payload], NOTHING);
  }

  fail(reason: string): void {
    this.#end(() => this.#listener.onBroken(reason));
  }

  close(finished: boolean): void {
    if (this.#over) return;
    this.#over = true;
    const connection = this.#connection;
    if (connection === null) return;
    if (!finished) {
      connection.destroy();
      return;
    }
    const { nodeRank, digest } = this.#terms;
    // The sender ends the connection when it has read this; one that does not must not keep it open.
    connection.write([encodeHead({ type: "finished", digest, number: nodeRank })], NOTHING);
    setTimeout(() => connection.destroy(), FAREWELL_MS).unref();
  }

  #feed(bytes: Uint8Array): void {
    if (this.#over) return;
    try {
      this.#parser.feed(bytes);
    } catch (error) {
      if (error instanceof FrameError) this.fail(error.message);
      else this.#end(() => this.#listener.onWriteFailed(error));
      return;
    }
    if (this.#over) return;
    this.#listener.onBytes();
    this.#sayAlive();
  }

  #write(write: () => void): void {
    if (!this.#over) write();
  }

  #acknowledge(chunk: number, checksum: number): void {
    if (this.#over) return;
    const { digest } = this.#terms;
    this.#connection?.write([encodeHead({ type: "acknowledged", digest, number: chunk })], NOTHING);
    this.#aliveMs = performance.now();
    this.#listener.onChunk(chunk, checksum);
  }

  #sayAlive(): void {
    const nowMs = performance.now();
    if (nowMs - this.#aliveMs < ALIVE_MS) return;
    this.#aliveMs = nowMs;
    this.#connection?.write([encodeHead({ type: "alive", digest: this.#terms.digest })], NOTHING);
  }

  #end(tell: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection?.destroy();
    tell();
  }
}

/** Asks how many chunks of `want` a node has; null when it cannot be asked. `answer` is called once, or never after `close`. */
export function openProbe(
  lane: Lane,
  address: string,
  terms: PullTerms,
  want: ChunkSet,
  target: ChunkTarget,
  answer: (available: number | null) => void,
): { close(): void } {
  let connection: LaneConnection | null = null;
  let over = false;
  const close = (): void => {
    over = true;
    connection?.destroy();
  };
  const end = (available: number | null): void => {
    if (over) return;
    close();
    answer(available);
  };
  const parser = new FrameParser(
    new ChunkIntake({ ...target, missing: () => false }, { onChunk: NOTHING, onCorrupt: NOTHING, onHave: end }, terms.digest),
  );
  const feed = (bytes: Uint8Array): void => {
    try {
      if (!over) parser.feed(bytes);
    } catch {
      end(null);
    }
  };
  lane.connect(address).then(
    (opened) => {
      connection = opened;
      if (over) opened.destroy();
      opened.start({ onBytes: feed, onClose: () => end(null) });
      const payload = want.toBytes();
      const head = encodeHead({ type: "probe", digest: terms.digest, number: terms.nodeRank, payloadBytes: payload.length });
      opened.write([head, payload], NOTHING);
    },
    () => end(null),
  );
  return { close };
}
