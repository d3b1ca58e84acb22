/** Cuts a stream of bytes, in pieces of any size, into frames. Payloads are handed on piece by piece and never collected here. */
import { decodeHead, type FrameHead, HEAD_BYTES } from "./frame.ts";

/** Hears frames. A call that throws `FrameError` ends the stream. */
export interface FrameListener {
  onHead(head: FrameHead): void;
  onPayload(bytes: Uint8Array): void;
  /** After the last byte of the payload, or directly after the head when there is none. */
  onFrameEnd(): void;
}

/** A stream that is not made of frames, or of other frames than the listener expects. */
export class FrameError extends Error {}

/** One direction of one connection. */
export class FrameParser {
  readonly #listener: FrameListener;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #headBytes = 0;
  #payloadLeft = 0;

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  /** @throws {FrameError} when what comes is no frame. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const taken = this.#payloadLeft > 0 ? this.#payload(bytes, at) : this.#headPiece(bytes, at);
      at += taken;
    }
  }

  #headPiece(bytes: Uint8Array, at: number): number {
    const taken = Math.min(HEAD_BYTES - this.#headBytes, bytes.length - at);
    this.#head.set(bytes.subarray(at, at + taken), this.#headBytes);
    this.#headBytes += taken;
    if (this.#headBytes < HEAD_BYTES) return taken;
    this.#headBytes = 0;
    const head = decodeHead(this.#head);
    if (head === null) throw new FrameError("what came is no frame of a broadcast");
    this.#listener.onHead(head);
    this.#payloadLeft = head.payloadBytes;
    if (head.payloadBytes === 0) this.#listener.onFrameEnd();
    return taken;
  }

  #payload(bytes: Uint8Array, at: number): number {
    const taken = Math.min(this.#payloadLeft, bytes.length - at);
    this.#listener.onPayload(taken === bytes.length ? bytes : bytes.subarray(at, at + taken));
    this.#payloadLeft -= taken;
    if (this.#payloadLeft === 0) this.#listener.onFrameEnd();
    return taken;
  }
}
