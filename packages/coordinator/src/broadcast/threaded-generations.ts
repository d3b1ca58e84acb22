/** Generations that the data plane keeps, as the coordinator sees them: requests to the filling thread, and promises for its answers. */
import type { SegmentDescriptor } from "@rankcast/core/runtime";
import type { GenerationPlace, RankSet } from "./kept-generations.ts";
import type { EncodeCommand, GenerationCommand } from "./thread-message.ts";

/** A difference that waits to be sent. */
export interface PreparedDelta {
  readonly descriptor: SegmentDescriptor;
  /** Gives its memory back once it was sent, or will not be. Safe to call twice. */
  release(): void;
}

/** The generations that this node keeps. */
export interface NodeGenerations {
  /**
   * A rank of this node has a generation; gives how it differs from `base`, null when there is nothing to start from or it would not pay. From then
   * on others can start from it.
   */
  encode(place: GenerationPlace, source: RankSet, base: EncodeCommand["base"]): Promise<PreparedDelta | null>;
  /** Nothing of a lineage but these generations is wanted any more. */
  retain(lineage: string, generations: readonly number[]): void;
  /** One generation is not wanted any more. */
  drop(lineage: string, generation: number): void;
  /** Nothing is. */
  forgetAll(): void;
}

/** See the module comment. */
export class ThreadedGenerations implements NodeGenerations {
  readonly #command: (command: GenerationCommand) => void;
  readonly #waiting = new Map<number, (delta: PreparedDelta | null) => void>();
  #count = 0;
  #dead = false;

  constructor(command: (command: GenerationCommand) => void) {
    this.#command = command;
  }

  encode(place: GenerationPlace, source: RankSet, base: EncodeCommand["base"]): Promise<PreparedDelta | null> {
    if (this.#dead) return Promise.resolve(null);
    this.#count += 1;
    const request = this.#count;
    return new Promise((resolve) => {
      this.#waiting.set(request, resolve);
      this.#command({ type: "encode", request, place, source, base });
    });
  }

  retain(lineage: string, generations: readonly number[]): void {
    this.#command({ type: "retain", lineage, generations });
  }

  drop(lineage: string, generation: number): void {
    this.#command({ type: "drop", lineage, generation });
  }

  forgetAll(): void {
    this.#command({ type: "forgetAll" });
  }

  /** The thread's answer. */
  encoded(request: number, descriptor: SegmentDescriptor | null): void {
    const resolve = this.#waiting.get(request);
    this.#waiting.delete(request);
    let isHeld = descriptor !== null;
    const release = (): void => {
      if (isHeld) this.#command({ type: "forgetEncoded", request });
      isHeld = false;
    };
    resolve?.(descriptor && { descriptor, release });
  }

  /** The thread is gone: nothing travels as a difference any more. */
  die(): void {
    this.#dead = true;
    for (const resolve of this.#waiting.values()) resolve(null);
    this.#waiting.clear();
  }
}
