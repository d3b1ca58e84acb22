/** Whether we or the network are the slower side of a download. */
import { performance } from "node:perf_hooks";
import type { EpochLoad } from "./connection-window.ts";

/** The share of the time from which on a side counts as busy. */
const BUSY = 0.75;
/** The share of the time that connections may wait for the disk before the disk is what all wait for. */
const STALLED = 0.1;

/** Looks at the time since it last looked. */
export class TransferLoad {
  #loop = performance.eventLoopUtilization();
  #sinceMs = performance.now();
  #stalledMs = 0;

  /** A connection was not read for this long because what it had brought was not written yet. */
  stalled(ms: number): void {
    this.#stalledMs += ms;
  }

  /** Of the time since the last call, or since the beginning. */
  look(): EpochLoad {
    const loop = performance.eventLoopUtilization();
    const nowMs = performance.now();
    const busy = performance.eventLoopUtilization(loop, this.#loop).utilization > BUSY;
    const stalled = this.#stalledMs > (nowMs - this.#sinceMs) * STALLED;
    this.#loop = loop;
    this.#sinceMs = nowMs;
    this.#stalledMs = 0;
    return { saturated: busy || stalled };
  }
}
