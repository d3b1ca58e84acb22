/** Tickets of lanes: each belongs to one rank's stream, opens one connection, and not for long. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { LANE_TICKET_BYTES } from "@rankcast/proto";

/** A ticket is a number by which it is found and a secret which is compared: a look-up by the secret would tell how much of a guess is right. */
const NUMBER_BYTES = 4;
const SECRET_BYTES = LANE_TICKET_BYTES - NUMBER_BYTES;
/** A rank dials when it has read its welcome; one whose event loop is blocked for longer than this goes on without a lane. */
export const TICKET_MS = 60_000;

interface Issued<T> {
  readonly holder: T;
  readonly secret: Buffer;
  readonly issuedMs: number;
}

/** See the module comment. */
export class LaneTickets<T> {
  readonly #now: () => number;
  readonly #issued = new Map<number, Issued<T>>();
  #last = 0;

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A new ticket; it is `holder`'s until it is taken, revoked or too old. */
  issue(holder: T): Buffer {
    this.#last = (this.#last + 1) % 2 ** 32;
    const ticket = Buffer.concat([Buffer.alloc(NUMBER_BYTES), randomBytes(SECRET_BYTES)]);
    ticket.writeUInt32LE(this.#last);
    this.#issued.set(this.#last, { holder, secret: Buffer.from(ticket.subarray(NUMBER_BYTES)), issuedMs: this.#now() });
    return ticket;
  }

  /** Whose ticket this is, once; null for one that is wrong, used, revoked or too old. A wrong guess leaves the ticket good. */
  take(ticket: Buffer): T | null {
    if (ticket.length !== LANE_TICKET_BYTES) return null;
    const number = ticket.readUInt32LE();
    const issued = this.#issued.get(number);
    if (!issued || !timingSafeEqual(ticket.subarray(NUMBER_BYTES), issued.secret)) return null;
    this.#issued.delete(number);
    return this.#now() - issued.issuedMs > TICKET_MS ? null : issued.holder;
  }

  /** Makes a ticket that has not been taken worthless. */
  revoke(ticket: Buffer): void {
    this.#issued.delete(ticket.readUInt32LE());
  }
}
