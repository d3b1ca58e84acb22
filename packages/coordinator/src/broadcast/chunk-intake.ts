/** What a receiver does with the bytes of one pull: check, write to their place, and say which chunk is whole. */
import { type Chunk, type ChunkLayout, extendChecksum, startChecksum } from "@rankcast/core/runtime";
import type { FrameHead } from "./frame.ts";
import { FrameError, type FrameListener } from "./frame-parser.ts";

/** Where chunks go. */
export interface ChunkTarget {
  readonly layout: ChunkLayout;
  /** Digest of the offer: 32 bytes. */
  readonly digest: Uint8Array;
  /** Whether this chunk's bytes may be written: they are verified otherwise, and are never touched again. */
  missing(chunk: number): boolean;
  /** Writes a piece into the segment. */
  write(segment: number, bytes: Uint8Array, offset: number): void;
}

/** What comes out. */
export interface IntakeListener {
  /** The chunk is in its place (or was before) and its checksum was right. */
  onChunk(chunk: number, checksum: number): void;
  onCorrupt(chunk: number): void;
  onHave(count: number): void;
}

/** Frames from a sender. */
export class ChunkIntake implements FrameListener {
  readonly #target: ChunkTarget;
  readonly #listener: IntakeListener;
  readonly #digest: string;
  #head: FrameHead | null = null;
  #chunk: Chunk | null = null;
  #at = 0;
  #checksum = 0;
  #writes = false;

  constructor(target: ChunkTarget, listener: IntakeListener, digest: string) {
    this.#target = target;
    this.#listener = listener;
    this.#digest = digest;
  }

  /** @throws {FrameError} for anything but a chunk of this broadcast with exactly its length, or an answer. */
  onHead(head: FrameHead): void {
    this.#head = head;
    if (head.digest !== this.#digest) throw new FrameError("a chunk of another broadcast came");
    if (head.type === "have" && head.payloadBytes === 0) return;
    if (head.type !== "chunk" || head.number >= this.#target.layout.count)
      throw new FrameError(`a ${head.type} came that nobody asked for`);
    const chunk = this.#target.layout.chunk(head.number);
    if (head.payloadBytes !== chunk.length) {
      throw new FrameError(`chunk ${chunk.index} has ${chunk.length} bytes, and ${head.payloadBytes} were announced`);
    }
    this.#chunk = chunk;
    this.#at = chunk.offset;
    this.#checksum = startChecksum(this.#target.digest, chunk);
    this.#writes = this.#target.missing(chunk.index);
  }

  /** A piece of the open chunk: checked while it is hot, then copied once. */
  onPayload(bytes: Uint8Array): void {
    if (this.#chunk === null) return;
    this.#checksum = extendChecksum(this.#checksum, bytes);
    if (this.#writes) this.#target.write(this.#chunk.segment, bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The verdict. */
  onFrameEnd(): void {
    const [head, chunk] = [this.#head, this.#chunk];
    this.#chunk = null;
    if (head?.type === "have") this.#listener.onHave(head.number);
    if (chunk === null) return;
    if (this.#checksum === head?.checksum) this.#listener.onChunk(chunk.index, this.#checksum);
    else this.#listener.onCorrupt(chunk.index);
  }
}
