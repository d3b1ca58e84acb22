/** Turns received bytes into progress events: rate and remaining time, at a bounded frequency. */
import type { FetchListener } from "./fetch-event.ts";

const EVENT_MS = 100;
const WINDOW_MS = 3_000;

/** Counts one file. */
export class ProgressMeter {
  readonly #name: string;
  readonly #listener: FetchListener | undefined;
  readonly #now: () => number;
  /** Samples (time, bytes) of the last seconds, oldest first. */
  #samples: { readonly ms: number; readonly bytes: number }[];
  #bytesReceived = 0;
  #lastEventMs = Number.NEGATIVE_INFINITY;
  /** Bytes there before this try. */
  bytesBefore = 0;
  bytesTotal: number | null = null;
  retries = 0;

  constructor(name: string, listener: FetchListener | undefined, now: () => number = () => performance.now()) {
    this.#name = name;
    this.#listener = listener;
    this.#now = now;
    this.#samples = [{ ms: now(), bytes: 0 }];
  }

  /** Counts bytes that arrived for the first time. */
  add(bytes: number): void {
    this.#bytesReceived += bytes;
    if (this.#listener === undefined) return;
    const now = this.#now();
    if (now - this.#lastEventMs >= EVENT_MS) this.#emit(now);
  }

  /** Forgets what was received: the download starts again. */
  restart(): void {
    this.#bytesReceived = 0;
    this.bytesBefore = 0;
    this.#samples = [{ ms: this.#now(), bytes: 0 }];
  }

  /** Tells the final numbers. */
  end(): void {
    if (this.#listener !== undefined) this.#emit(this.#now());
  }

  #emit(now: number): void {
    this.#lastEventMs = now;
    this.#samples.push({ ms: now, bytes: this.#bytesReceived });
    while (this.#samples.length > 2 && now - (this.#samples[0]?.ms ?? now) > WINDOW_MS) this.#samples.shift();
    const oldest = this.#samples[0] ?? { ms: now, bytes: 0 };
    const seconds = (now - oldest.ms) / 1000;
    const bytesPerSecond = seconds > 0 ? (this.#bytesReceived - oldest.bytes) / seconds : 0;
    const bytesDone = this.bytesBefore + this.#bytesReceived;
    const remaining = this.bytesTotal === null ? null : this.bytesTotal - bytesDone;
    this.#listener?.({
      type: "progress",
      name: this.#name,
      bytesDone,
      bytesTotal: this.bytesTotal,
      bytesPerSecond,
      etaMs: remaining === null || bytesPerSecond === 0 ? null : Math.max(0, (remaining / bytesPerSecond) * 1000),
      retries: this.retries,
    });
  }
}
