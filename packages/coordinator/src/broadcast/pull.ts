/** A link as its receiver sees it: the connections over which the chunks of one source come. */
import type { ChunkSet } from "@rankcast/core/runtime";
import type { ChunkTarget } from "./chunk-intake.ts";
import type { Lane } from "./lane.ts";
import { PullConnection, type PullTerms } from "./pull-connection.ts";

/** Hears one pull, by connection. After `close` nothing more comes, and of a connection that broke or brought wrong bytes neither. */
export interface PullListener {
  onBytes(): void;
  onChunk(connection: number, chunk: number, checksum: number): void;
  onCorrupt(connection: number, chunk: number): void;
  onBroken(connection: number, reason: string): void;
  /** The segment took no more bytes: the machine is full. */
  onWriteFailed(error: unknown): void;
}

/** Where chunks come from. */
export interface PullSource {
  readonly lane: Lane;
  readonly address: string;
  readonly terms: PullTerms;
  /** A number that no other link of this node to this broadcast has. */
  readonly link: number;
}

/** See the module comment. */
export class Pull {
  readonly #source: PullSource;
  readonly #target: ChunkTarget;
  readonly #listener: PullListener;
  readonly #connections = new Map<number, PullConnection>();
  /** Which connection writes a chunk: two must never write the same bytes, or wrong ones could come after right ones were verified. */
  readonly #writers = new Map<number, PullConnection>();
  #opened = 0;

  constructor(source: PullSource, target: ChunkTarget, listener: PullListener) {
    this.#source = source;
    this.#target = target;
    this.#listener = listener;
  }

  /** The fastest answer that dialling has had; null when nobody can tell. */
  get roundTripMs(): number | null {
    const known = [...this.#connections.values()].flatMap(({ roundTripMs }) => roundTripMs ?? []);
    return known.length === 0 ? null : Math.min(...known);
  }

  /** Opens a connection; failing to is `onBroken`. */
  connect(connection: number, want: ChunkSet): void {
    const listener = this.#listener;
    const { lane, address, terms, link } = this.#source;
    const target = { ...this.#target, missing: (chunk: number) => this.#claim(chunk, opened) };
    const opened: PullConnection = new PullConnection(terms, { link, connection, isFirst: this.#opened === 0 }, want, target, {
      onBytes: () => listener.onBytes(),
      onChunk: (chunk, checksum) => {
        this.#writers.delete(chunk);
        listener.onChunk(connection, chunk, checksum);
      },
      onCorrupt: (chunk) => {
        this.#forget(connection);
        listener.onCorrupt(connection, chunk);
      },
      onBroken: (reason) => {
        this.#forget(connection);
        listener.onBroken(connection, reason);
      },
      onWriteFailed: (error) => listener.onWriteFailed(error),
    });
    this.#opened += 1;
    this.#connections.set(connection, opened);
    opened.dial(lane, address);
  }

  /** Tells the source over a connection that lives that one is lost, and what is missing. Without one the next that opens says what it wants. */
  reask(lost: number, missing: ChunkSet): void {
    for (const connection of this.#connections.values()) {
      if (!connection.isOpen) continue;
      connection.sayLost(lost, missing);
      return;
    }
  }

  /** Ends it. `finished`: tells the source that this node has every chunk. */
  close(finished: boolean): void {
    for (const connection of this.#connections.values()) connection.close(finished);
    this.#connections.clear();
  }

  /** Whether a chunk that begins to arrive is written: it is missing, and from now on nobody else writes it. */
  #claim(chunk: number, claimant: PullConnection): boolean {
    if (!this.#target.missing(chunk)) return false;
    const writer = this.#writers.get(chunk);
    this.#writers.set(chunk, claimant);
    // The source sends a chunk again only when it holds the other connection for lost.
    if (writer !== undefined && writer !== claimant) writer.fail(`chunk ${chunk} came over another connection`);
    return true;
  }

  #forget(connection: number): void {
    const over = this.#connections.get(connection);
    this.#connections.delete(connection);
    for (const [chunk, writer] of this.#writers) if (writer === over) this.#writers.delete(chunk);
  }
}
