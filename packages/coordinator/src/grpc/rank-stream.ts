/** One rank's stream after its hello, and the lane that takes over from it. */
import type { Socket } from "node:net";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import { DistributionError } from "@rankcast/core";
import { asCheckpointError, uniqueTag } from "@rankcast/core/runtime";
import type { CoordinatorMessage, Hello, RankMessage, Welcome } from "@rankcast/proto";
import type { ConnectionListener, RankConnection } from "./coordination-server.ts";
import type { LaneTickets } from "./lane-tickets.ts";
import { type NodeLane, takeNodeLane } from "./node-lane.ts";

/** A stream as grpc-js has it. */
export type RankCall = ServerDuplexStream<RankMessage, CoordinatorMessage>;

/** Tells ranks whom to look at when nothing is heard: whoever they are connected to, which is not always who decides. */
const INCARNATION = uniqueTag();

/** Ends a stream with a refusal. */
export function failCall(call: RankCall, code: status, details: string): void {
  call.emit("error", { code, details });
}

/**
 * See the module comment. Order: what is said on the stream ends with `laneOpen`, but for a copy of `aborted`; a rank says nothing on the stream after its hello once it has taken a
 * lane. The connection is over when its lane is: what a rank said last must count, and the end of a process is the end of both.
 */
export class RankStream implements RankConnection {
  readonly hello: Hello;
  readonly #call: RankCall;
  readonly #listener: ConnectionListener;
  /** Null: this rank takes none. */
  readonly #tickets: LaneTickets<RankStream> | null;
  #ticket: Buffer | null = null;
  #lane: NodeLane | null = null;
  #over = false;

  constructor(call: RankCall, hello: Hello, listener: ConnectionListener, tickets: LaneTickets<RankStream> | null) {
    this.#call = call;
    this.hello = hello;
    this.#listener = listener;
    this.#tickets = tickets;
  }

  send(message: CoordinatorMessage): void {
    if (message.type === "arriving" && !this.hello.takesArriving) return;
    if (!this.#lane) {
      this.#call.write(message.type === "welcome" ? this.#welcome(message) : message);
      return;
    }
    this.#lane.send(message);
    // A rank that stood still may write to its lane before it reads, and then can not read it any more; the stream still tells it why.
    if (message.type === "aborted" && this.#call.writable) this.#call.write(message);
  }

  refuse(kind: "protocol" | "duplicate", text: string): void {
    failCall(this.#call, kind === "duplicate" ? status.ALREADY_EXISTS : status.INVALID_ARGUMENT, text);
    this.#finish();
  }

  end(): void {
    // A lane that comes now would have nobody to say that it is there.
    this.#revoke();
    this.#lane?.end();
    this.#call.end();
  }

  /** Its hello is good. */
  join(): void {
    this.#attempt(() => this.#listener.onJoin(this));
  }

  /** The stream brings a message. */
  hear(message: RankMessage): void {
    this.#attempt(() => {
      if (this.#lane) throw new DistributionError("RANKCAST_PROTOCOL", "a rank that has a lane says everything there", {});
      this.#listener.onMessage(this, message);
    });
  }

  /** The stream is over; with a lane that is the end of it, and what is still on its way there counts. */
  streamEnded(): void {
    if (this.#lane) this.#lane.end();
    else this.#finish();
  }

  /** The rank's second connection has come. */
  takeLane(socket: Socket): void {
    this.#ticket = null;
    this.#call.write({ type: "laneOpen" });
    this.#lane = takeNodeLane(socket, {
      onMessage: (message) => {
        if (!this.#over) this.#listener.onMessage(this, message);
      },
      onBroken: (error) => this.#refuseMessage(error),
      onEnd: () => {
        this.#finish();
        this.#call.end();
      },
    });
  }

  #attempt(work: () => void): void {
    if (this.#over) return;
    try {
      work();
    } catch (error) {
      this.#refuseMessage(error);
    }
  }

  /** A message we cannot act on must end the stream: going on would leave a barrier without an arrival. */
  #refuseMessage(error: unknown): void {
    failCall(this.#call, status.INVALID_ARGUMENT, asCheckpointError(error).message);
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#revoke();
    this.#lane?.end();
    this.#listener.onEnd(this);
  }

  #revoke(): void {
    if (this.#ticket) this.#tickets?.revoke(this.#ticket);
    this.#ticket = null;
  }

  #welcome(welcome: Welcome): Welcome {
    this.#ticket = this.#tickets?.issue(this) ?? null;
    return { ...welcome, incarnation: INCARNATION, ...(this.#ticket ? { laneTicket: this.#ticket } : {}) };
  }
}
