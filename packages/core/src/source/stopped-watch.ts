/** How long another process of this machine has been stopped. */
import { isStopped, ownerOf } from "./process-identity.ts";

/** See the module comment. One per process; look at it again and again. */
export class StoppedWatch {
  readonly #intervalMs: number;
  readonly #isStopped: () => boolean;
  #lookedMs = 0;
  #stoppedMs = 0;
  #heard = false;

  /** `tag` is the process's `uniqueTag`; one that does not tell a process is never stopped. `intervalMs` is how often one means to look. */
  constructor(tag: string, intervalMs: number, stopped = (): boolean => stoppedByTag(tag)) {
    this.#intervalMs = intervalMs;
    this.#isStopped = stopped;
  }

  /** Something has come from it: it runs, and the next look need not ask the kernel. */
  heard(): void {
    this.#heard = true;
  }

  /**
   * Looks; gives for how many milliseconds it has been seen to stand still, 0 when it runs. Time in which the looking process could not run itself
   * counts as one interval: both may have been stopped together, and go on together.
   */
  look(nowMs: number): number {
    const sinceMs = Math.min(nowMs - this.#lookedMs, this.#intervalMs);
    this.#stoppedMs = !this.#heard && this.#isStopped() ? this.#stoppedMs + sinceMs : 0;
    this.#heard = false;
    this.#lookedMs = nowMs;
    return this.#stoppedMs;
  }
}

function stoppedByTag(tag: string): boolean {
  const process_ = ownerOf(tag);
  return process_ !== null && isStopped(process_);
}
