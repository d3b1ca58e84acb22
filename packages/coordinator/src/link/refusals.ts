/**
 * Who was turned away at a listener, told in words that a log can take: a flood of a million strangers is one message a second, and costs one number per
 * reason.
 */
import type { Socket } from "node:net";
import { formatLinkAddress } from "./link-key.ts";

/**
 * Why a connection was turned away: other bytes than a handshake's, or half of one (`protocol`); another token; another job; encryption where the job
 * has none, or none where it is demanded (`unprotected`); a TLS handshake that failed, as with another token or authority (`tls`); nothing said in time
 * (`silence`); pushed out by newer strangers (`flood`); above the bound on connections (`connections`).
 */
export const REFUSAL_REASONS = ["protocol", "token", "job", "unprotected", "tls", "silence", "flood", "connections"] as const;

/** One of `REFUSAL_REASONS`. */
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** One connection that was turned away. */
export interface Refusal {
  readonly reason: RefusalReason;
  /** `host:port` where it came from; `unix` for a socket of this machine. */
  readonly address: string;
}

/** Connections that were turned away for one reason. */
export interface RefusalCount extends Refusal {
  /** Since it was last told. */
  readonly count: number;
}

/** What is told at most so often. */
const INTERVAL_MS = 1000;

/** Where a connection comes from. */
export function addressOf({ remoteAddress, remotePort }: Partial<Pick<Socket, "remoteAddress" | "remotePort">>): string {
  return remoteAddress === undefined ? "unix" : formatLinkAddress(remoteAddress.replace(/^::ffff:/i, ""), remotePort ?? 0);
}

/** See the module comment: tells the first at once, and what follows within a second together. `address` is then the last one's of its reason. */
export class Refusals {
  readonly #tell: (refusals: readonly RefusalCount[]) => void;
  readonly #intervalMs: number;
  readonly #untold = new Map<RefusalReason, RefusalCount>();
  #timer: NodeJS.Timeout | null = null;

  constructor(tell: (refusals: readonly RefusalCount[]) => void, intervalMs = INTERVAL_MS) {
    this.#tell = tell;
    this.#intervalMs = intervalMs;
  }

  /** A connection was turned away. */
  take({ reason, address }: Refusal): void {
    this.#untold.set(reason, { reason, address, count: (this.#untold.get(reason)?.count ?? 0) + 1 });
    if (this.#timer === null) this.#tellAll();
  }

  /** Tells what has not been told. */
  close(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    if (this.#untold.size > 0) this.#tell([...this.#untold.values()]);
    this.#untold.clear();
  }

  #tellAll(): void {
    this.#timer = null;
    if (this.#untold.size === 0) return;
    const refusals = [...this.#untold.values()];
    this.#untold.clear();
    this.#timer = setTimeout(() => this.#tellAll(), this.#intervalMs);
    this.#timer.unref();
    this.#tell(refusals);
  }
}
