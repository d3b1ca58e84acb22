/** The dialling side of a lane: one connection of a link, over which chunks come. */
import type { ChunkSet } from "@rankcast/core/runtime";
import { ChunkIntake, type ChunkTarget } from "./chunk-intake.ts";
import { encodeHead, type FrameHead } from "./frame.ts";
import { FrameError, FrameParser } from "./frame-parser.ts";
import type { Lane, LaneConnection } from "./lane.ts";

/** Who asks, and for what. */
export interface PullTerms {
  readonly nodeRank: number;
  /** Of the link: its connections share them. */
  readonly creditBytes: number;
  /** Of the content, as heads carry it. */
  readonly digest: string;
}

/** What a connection is part of. */
export interface LinkPlace {
  /** A number that no other link of this node to this broadcast has. */
  readonly link: number;
  readonly connection: number;
  /** The link's first connection, which every sender serves. */
  readonly isFirst: boolean;
}

/** Hears one connection. After `close`, `onCorrupt` or `onBroken` nothing more comes. */
export interface PullConnectionListener {
  onBytes(): void;
  onChunk(chunk: number, checksum: number): void;
  onCorrupt(chunk: number): void;
  onBroken(reason: string): void;
  /** The segment took no more bytes: the machine is full. */
  onWriteFailed(error: unknown): void;
}

/** While a chunk takes long, the sender hears this often that bytes still arrive. */
const ALIVE_MS = 1000;
const FAREWELL_MS = 2000;
const NOTHING = (): void => undefined;

/** One connection. Dials at once; failing to is `onBroken`. */
export class PullConnection {
  readonly #terms: PullTerms;
  readonly #place: LinkPlace;
  readonly #want: ChunkSet;
  readonly #listener: PullConnectionListener;
  readonly #parser: FrameParser;
  #connection: LaneConnection | null = null;
  #over = false;
  #aliveMs = 0;

  constructor(terms: PullTerms, place: LinkPlace, want: ChunkSet, target: ChunkTarget, listener: PullConnectionListener) {
    this.#terms = terms;
    this.#place = place;
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

  /** Whether it can carry a message now. */
  get isOpen(): boolean {
    return this.#connection !== null && !this.#over;
  }

  /** What dialling has shown of the way; null before, and where nobody can tell. */
  get roundTripMs(): number | null {
    return this.#connection?.roundTripMs ?? null;
  }

  /** Dials. */
  dial(lane: Lane, address: string): void {
    lane.connect(address).then(
      (connection) => this.#begin(connection),
      (error: Error) => this.fail(error.message),
    );
  }

  /** Ends it for a reason of this side's. */
  fail(reason: string): void {
    this.#end(() => this.#listener.onBroken(reason));
  }

  /** Says that another connection of the link is lost, and what is missing. */
  sayLost(connection: number, missing: ChunkSet): void {
    this.#say({ type: "lost", number: connection }, missing.toBytes());
  }

  /** Nothing more is to come. `finished`: tells the sender that this node has every chunk. */
  close(finished: boolean): void {
    if (this.#over) return;
    this.#over = true;
    const connection = this.#connection;
    if (connection === null) return;
    if (!finished) {
      connection.destroy();
      return;
    }
    this.#say({ type: "finished", number: this.#terms.nodeRank });
    // The sender ends the connection when it has read this; one that does not must not keep it open.
    setTimeout(() => connection.destroy(), FAREWELL_MS).unref();
  }

  #begin(connection: LaneConnection): void {
    if (this.#over) {
      connection.destroy();
      return;
    }
    this.#connection = connection;
    connection.start({ onBytes: (bytes) => this.#feed(bytes), onClose: (reason) => this.fail(reason) });
    const { nodeRank, creditBytes } = this.#terms;
    const { link, connection: number, isFirst } = this.#place;
    this.#say({ type: isFirst ? "subscribe" : "join", number: nodeRank, link, connection: number, creditBytes }, this.#want.toBytes());
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
    this.#say({ type: "acknowledged", number: chunk });
    this.#aliveMs = performance.now();
    this.#listener.onChunk(chunk, checksum);
  }

  #sayAlive(): void {
    const nowMs = performance.now();
    if (nowMs - this.#aliveMs < ALIVE_MS) return;
    this.#aliveMs = nowMs;
    this.#say({ type: "alive" });
  }

  #say(head: Partial<FrameHead> & Pick<FrameHead, "type">, payload?: Uint8Array): void {
    const encoded = encodeHead({ ...head, digest: this.#terms.digest, payloadBytes: payload?.length ?? 0 });
    this.#connection?.write(payload ? [encoded, payload] : [encoded], NOTHING);
  }

  #end(tell: () => void): void {
    if (this.#over) return;
    this.#over = true;
    this.#connection?.destroy();
    tell();
  }
}
