/** When to send a request again, and when to give up: by attempts without progress, by silence, by a total bound (law L9). */
import { setTimeout as sleep } from "node:timers/promises";
import { SourceError } from "../errors/checkpoint-error.ts";
import type { Limits } from "../limits/limits.ts";
import { isTransient, silent } from "./http-errors.ts";

/** Time and chance, injected. */
export interface RetryClock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** `[0, 1)`. */
  random(): number;
  sleep(ms: number, signal: AbortSignal | undefined): Promise<void>;
}

/** The real ones. */
export const SYSTEM_CLOCK: RetryClock = {
  now: () => performance.now(),
  random: Math.random,
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}),
};

/** One line of tries for one thing (a part, a request). */
export interface RetryRun {
  /** Failed tries since the last progress. */
  failures: number;
}

/** What is told about each repeated request. */
export interface RetryNotice {
  readonly error: SourceError;
  readonly delayMs: number;
}

const DELAY_MS_MAX = 8_000;

/**
 * Bounds the tries of one file. Silence is bounded over all of them together: from the last byte (or answer) of any request to the error pass
 * at most `idleMs`. One try gets a third of that, so a server that goes silent once is survived inside the bound.
 */
export class RetryPolicy {
  readonly #limits: Limits;
  readonly #clock: RetryClock;
  readonly #onRetry: (notice: RetryNotice) => void;
  #lastSignMs: number;
  /** Requests sent again so far. */
  retries = 0;

  constructor(limits: Limits, onRetry: (notice: RetryNotice) => void = () => undefined, clock: RetryClock = SYSTEM_CLOCK) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onRetry = onRetry;
    this.#lastSignMs = clock.now();
  }

  /** Starts a line of tries. */
  start(): RetryRun {
    return { failures: 0 };
  }

  /** How long the next try may be silent. */
  get attemptIdleMs(): number {
    return Math.max(1, Math.ceil(Math.min(this.#limits.idleMs / 3, this.#remainingMs())));
  }

  /** The server gave a sign of life: a byte or the head of an answer. */
  sign(): void {
    this.#lastSignMs = this.#clock.now();
  }

  /** Time that was not the server's: waiting for our own limits. */
  excuse(ms: number): void {
    this.#lastSignMs += ms;
  }

  /**
   * Waits before the next try.
   * @throws the `error` itself when it is not transient or a bound is reached; {SourceError} RANKCAST_NETWORK_SILENT with the whole silence.
   */
  async again(run: RetryRun, error: unknown, name: string, signal: AbortSignal | undefined): Promise<void> {
    if (!(error instanceof SourceError) || !isTransient(error)) throw error;
    run.failures += 1;
    const wasSilent = error.code === "RANKCAST_NETWORK_SILENT";
    if (this.#remainingMs() <= 0) throw wasSilent ? silent(name, this.#limits.idleMs) : error;
    if (run.failures >= this.#limits.httpAttempts || this.retries >= this.#limits.httpRetries) throw error;
    this.retries += 1;
    const delayMs = this.#delayMs(run, error);
    this.#onRetry({ error, delayMs });
    if (delayMs > 0) await this.#clock.sleep(delayMs, signal);
    // A pause the server asked for is no silence of it.
    if (error.details["retryAfterMs"] !== undefined) this.excuse(delayMs);
  }

  #remainingMs(): number {
    return this.#lastSignMs + this.#limits.idleMs - this.#clock.now();
  }

  /** `Retry-After` capped by the idle limit; else exponential with full jitter, never past the end of the allowed silence; none after a silence. */
  #delayMs(run: RetryRun, error: SourceError): number {
    if (error.code === "RANKCAST_NETWORK_SILENT") return 0;
    const asked = error.details["retryAfterMs"];
    if (typeof asked === "number") return Math.min(asked, this.#limits.idleMs);
    const bound = Math.min(this.#limits.httpRetryMs * 2 ** (run.failures - 1), DELAY_MS_MAX);
    return Math.min(this.#clock.random() * bound, Math.max(0, this.#remainingMs()));
  }
}

/** `Retry-After` in milliseconds from now (RFC 9110 section 10.2.3: seconds or a date); undefined when absent or malformed. */
export function parseRetryAfter(text: string | null, nowMs: number = Date.now()): number | undefined {
  if (text === null) return undefined;
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000;
  // Date.parse alone takes nearly anything for a date.
  const date = text.trim().endsWith("GMT") ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}
