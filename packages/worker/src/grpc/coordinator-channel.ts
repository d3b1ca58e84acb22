/**
 * What a rank and its node's coordinator say to each other, in order, over one of two ways: the gRPC stream that the rank joins by, and after that the
 * lane that the coordinator's welcome offers, which costs a tenth.
 *
 * ```
 *  joining ── welcome without a ticket ──────────────────────────► stream
 *     └───── welcome with one ──► dialling ── lane ended first ──────┘
 *                                     └────── laneOpen ──────────► lane
 * ```
 * While it dials nothing is sent and nothing heard on: what would be goes on when the way is decided. Either connection's end is the end of both,
 * and the stream's error is the channel's: it says why. An `aborted` comes on both ways: a rank that writes to a lane that the coordinator has closed
 * meanwhile (it stood still) can not read any more what came on it.
 */
import { type CheckpointError, DistributionError } from "@rankcast/core";
import type { CoordinatorMessage, Hello, RankMessage, Welcome } from "@rankcast/proto";
import { type CoordinatorStream, openCoordinatorStream } from "./coordinator-stream.ts";
import { dialRankLane, type RankLane } from "./rank-lane.ts";

export {
  type Arrive,
  type Arriving,
  type CoordinatorMessage,
  type Decision,
  type Hello,
  type Offer,
  type Offered,
  PROTOCOL_VERSION,
  type Published,
  type RankMessage,
  type WireError,
} from "@rankcast/proto";

/** How long one of the two connections may outlive the other: what was said last, and the reason, are on their way. */
const END_GRACE_MS = 2000;

/** One open channel. */
export interface CoordinatorChannel {
  /** Queues a message. Never blocks; the channel keeps order. */
  send(message: RankMessage): void;
  /** Ends our side after everything queued was sent; resolves when the coordinator has closed its side. */
  close(): Promise<void>;
  /** Ends the channel at once, without the coordinator's help. */
  cut(): void;
}

/** What the owner of a channel hears. */
export interface ChannelListener {
  onMessage(message: CoordinatorMessage): void;
  /** Once, when the channel is over; null after an orderly end. */
  onEnd(error: CheckpointError | null): void;
}

/**
 * Opens a channel to `address` (`unix:/path/to.sock`). Connection failures arrive at `listener.onEnd`. Without `takesLane` everything goes over
 * gRPC.
 */
export function openCoordinatorChannel(address: string, token: string, listener: ChannelListener, takesLane = true): CoordinatorChannel {
  return new LanedChannel({ address, token, listener, takesLane });
}

interface ChannelTerms {
  readonly address: string;
  readonly token: string;
  readonly listener: ChannelListener;
  readonly takesLane: boolean;
}

class LanedChannel implements CoordinatorChannel {
  readonly #terms: ChannelTerms;
  readonly #stream: CoordinatorStream;
  readonly #whenOver: Promise<void>;
  #way: "joining" | "dialling" | "stream" | "lane" = "joining";
  /** Null: not dialled, or over. */
  #lane: RankLane | null = null;
  /** Said while it dialled. */
  #waiting: RankMessage[] = [];
  /** Heard on the stream while it dialled. */
  #held: CoordinatorMessage[] = [];
  /** Heard on the lane before the stream's last message. */
  #early: CoordinatorMessage[] = [];
  #hasTicket = false;
  /** The stream's copy of an `aborted`: for the end, if the lane has brought none. */
  #lastWord: CoordinatorMessage | null = null;
  #laneAborted = false;
  #closing = false;
  #streamOver = false;
  /** What this side ended the channel for. */
  #reason: CheckpointError | null = null;
  #streamError: CheckpointError | null = null;
  #grace: NodeJS.Timeout | undefined;
  #over: () => void = () => undefined;

  constructor(terms: ChannelTerms) {
    this.#terms = terms;
    this.#whenOver = new Promise((resolve) => {
      this.#over = resolve;
    });
    this.#stream = openCoordinatorStream(terms.address, {
      onMessage: (message) => this.#hear(message),
      onEnd: (error) => this.#endStream(error),
    });
  }

  send(message: RankMessage): void {
    if (this.#way === "lane") this.#lane?.send(message);
    else if (this.#way === "dialling") this.#waiting.push(message);
    else this.#stream.write(message.type === "hello" ? this.#introduced(message) : message);
  }

  close(): Promise<void> {
    this.#closing = true;
    if (this.#way !== "dialling") this.#finish();
    return this.#whenOver;
  }

  cut(): void {
    this.#stream.cancel();
    this.#lane?.destroy();
  }

  #introduced(hello: Hello): Hello {
    const { token, takesLane } = this.#terms;
    return { ...hello, token, takesLane };
  }

  #finish(): void {
    this.#lane?.end();
    this.#stream.end();
  }

  #hear(message: CoordinatorMessage): void {
    if (message.type === "laneOpen") this.#enterLane();
    else if (this.#way === "lane" && message.type === "aborted") this.#lastWord ??= message;
    else if (this.#way === "lane") this.#break("the coordinator went on on the stream after it had opened the lane");
    else if (this.#way === "dialling") this.#held.push(message);
    else if (this.#way === "joining" && message.type === "welcome") this.#welcome(message);
    else this.#terms.listener.onMessage(message);
  }

  #welcome({ laneTicket, ...welcome }: Welcome): void {
    this.#way = "stream";
    if (laneTicket === undefined || !this.#terms.takesLane) {
      this.#terms.listener.onMessage(welcome);
      return;
    }
    this.#way = "dialling";
    this.#hasTicket = true;
    this.#held.push(welcome);
    this.#lane = dialRankLane(this.#terms.address, laneTicket, {
      onMessage: (message) => {
        this.#laneAborted ||= message.type === "aborted";
        if (this.#way === "lane") this.#terms.listener.onMessage(message);
        else this.#early.push(message);
      },
      onEnd: (error) => this.#endLane(error),
    });
  }

  #enterLane(): void {
    if (!this.#hasTicket || this.#way === "lane") {
      this.#break("the coordinator opened a lane that nobody asked for");
      return;
    }
    this.#decide("lane");
    if (this.#lane === null) this.#awaitStream();
  }

  /** The way is known: what was said meanwhile goes first, for the listener will say more. */
  #decide(way: "stream" | "lane"): void {
    this.#way = way;
    for (const message of this.#waiting.splice(0)) this.send(message);
    const early = way === "lane" ? this.#early.splice(0) : [];
    for (const message of [...this.#held.splice(0), ...early]) this.#terms.listener.onMessage(message);
    if (this.#closing) this.#finish();
  }

  #break(text: string, cause?: Error): void {
    this.#reason ??= new DistributionError("RANKCAST_PROTOCOL", text, { details: { address: this.#terms.address }, cause });
    this.cut();
  }

  #endLane(error: Error | null): void {
    this.#lane = null;
    if (error) this.#break(`the coordinator's lane broke off: ${error.message}`, error);
    if (this.#streamOver) this.#end();
    // A ticket that is not taken is no failure. One whose lane has spoken was: then the stream's last message is on its way.
    else if (this.#way === "dialling" && this.#early.length === 0) this.#decide("stream");
    else if (this.#way === "lane") this.#awaitStream();
  }

  #endStream(error: CheckpointError | null): void {
    this.#streamOver = true;
    this.#streamError = error;
    if (this.#way === "dialling") {
      this.#lane?.destroy();
      this.#decide("stream");
    }
    if (this.#lane === null) this.#end();
    else this.#grace = setTimeout(() => this.#lane?.destroy(), END_GRACE_MS);
  }

  /** The lane is over, and the stream says why. */
  #awaitStream(): void {
    this.#grace = setTimeout(() => {
      this.#reason ??= new DistributionError("RANKCAST_COORDINATOR_LOST", "the lane to the coordinator ended", {
        details: { address: this.#terms.address },
      });
      this.#stream.cancel();
    }, END_GRACE_MS);
  }

  #end(): void {
    clearTimeout(this.#grace);
    // Not before: what the lane brings comes first.
    if (this.#lastWord && !this.#laneAborted) this.#terms.listener.onMessage(this.#lastWord);
    this.#terms.listener.onEnd(this.#reason ?? this.#streamError);
    this.#over();
  }
}
