/** Frames of a lane: messages on a bare socket, each behind its length in 4 bytes, little endian. */

/** First bytes of a lane, before its ticket; the last one is the version. No HTTP/2 connection begins like this. */
export const LANE_MAGIC = Buffer.from("RKL\u0001");
/** Length of a ticket. What is in it only the coordinator knows. */
export const LANE_TICKET_BYTES = 36;
/** Length of a frame's head. */
export const FRAME_HEAD_BYTES = 4;
/** Frames up to this length get their memory at once; longer ones as they come, because a length is quickly said. */
const TRUSTED_BYTES = 2 ** 20;

/** Thrown when what comes is no frame that this side takes; the lane must end. */
export class FrameLengthError extends Error {
  override readonly name = "FrameLengthError";
}

/** One direction of a lane: pieces of any size in, whole frames out. */
export class FrameReader {
  readonly #frameBytesMax: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  /** The frame that has not come as a whole; `#bodyBytes` of it are here. */
  #body: Buffer | null = null;
  #bodyBytes = 0;
  #wantedBytes = 0;

  /** The memory of a frame that is handed on is used again after the call. */
  constructor(frameBytesMax: number, onFrame: (frame: Uint8Array) => void) {
    this.#frameBytesMax = frameBytesMax;
    this.#onFrame = onFrame;
  }

  /** Takes the next bytes, which it keeps none of. @throws {FrameLengthError} for a frame that is too long; whatever `onFrame` throws. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at = this.#body === null ? this.#begin(bytes, at) : this.#go(this.#body, bytes, at);
  }

  #begin(bytes: Uint8Array, from: number): number {
    let at = from;
    while (this.#headBytes < FRAME_HEAD_BYTES && at < bytes.length) {
      this.#head[this.#headBytes] = bytes[at] ?? 0;
      this.#headBytes += 1;
      at += 1;
    }
    if (this.#headBytes < FRAME_HEAD_BYTES) return at;
    this.#headBytes = 0;
    const wantedBytes = this.#head.readUInt32LE();
    if (wantedBytes > this.#frameBytesMax) {
      throw new FrameLengthError(`a message of ${wantedBytes} bytes is announced, more than the ${this.#frameBytesMax} of any message`);
    }
    const end = at + wantedBytes;
    if (end <= bytes.length) {
      this.#onFrame(bytes.subarray(at, end));
      return end;
    }
    this.#wantedBytes = wantedBytes;
    this.#bodyBytes = 0;
    this.#body = Buffer.allocUnsafeSlow(Math.min(wantedBytes, TRUSTED_BYTES));
    return at;
  }

  #go(body: Buffer, bytes: Uint8Array, at: number): number {
    const taken = Math.min(this.#wantedBytes - this.#bodyBytes, bytes.length - at);
    const whole = this.#bodyBytes + taken <= body.length ? body : this.#grown(body, this.#bodyBytes + taken);
    whole.set(bytes.subarray(at, at + taken), this.#bodyBytes);
    this.#bodyBytes += taken;
    const isWhole = this.#bodyBytes === this.#wantedBytes;
    this.#body = isWhole ? null : whole;
    if (isWhole) this.#onFrame(whole.subarray(0, this.#wantedBytes));
    return at + taken;
  }

  /** Twice the memory each time: bytes are copied twice on average, however long the frame is. */
  #grown(body: Buffer, neededBytes: number): Buffer {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#wantedBytes, Math.max(neededBytes, 2 * body.length)));
    grown.set(body.subarray(0, this.#bodyBytes));
    return grown;
  }
}

/** What frames are written to. */
export interface FrameSink {
  readonly writable: boolean;
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array): unknown;
}

/** Writers that have something to send when this turn ends. One callback serves all: each would cost as much as what it sends. */
let waiting: FrameWriter[] = [];

function flushAll(): void {
  const writers = waiting;
  waiting = [];
  for (const writer of writers) writer.flush();
}

/** The other direction: what is said in one turn goes out in one write, at the turn's end. */
export class FrameWriter {
  readonly #sink: FrameSink;
  /** What goes out when the turn ends. */
  #frames: Uint8Array[] = [];

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Writes a frame, which must stay as it is. After the end of the sink nothing happens. */
  write(frame: Uint8Array): void {
    if (this.#frames.length === 0) {
      if (waiting.length === 0) process.nextTick(flushAll);
      waiting.push(this);
    }
    this.#frames.push(frame);
  }

  /** Hands on what waits, now: before the sink is ended. */
  flush(): void {
    const frames = this.#frames;
    const [first] = frames;
    if (first === undefined) return;
    this.#frames = [];
    if (!this.#sink.writable) return;
    if (frames.length > 1) this.#sink.cork();
    for (const frame of frames) this.#sink.write(frame);
    if (frames.length > 1) this.#sink.uncork();
  }
}
