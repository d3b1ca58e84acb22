/** What a simulated broadcast is given and what it gives. */

/** How often each fault strikes, from 0 to 1. */
export interface Faults {
  /** Per delivered chunk: the connection is cut. */
  readonly cut: number;
  /** Per delivered chunk: its bytes are wrong. */
  readonly corrupt: number;
  /** Per connection: nothing comes through in one direction, and nobody is told. */
  readonly blackhole: number;
  /** Per node but the owners: it dies at some time. */
  readonly death: number;
  /** Per node but the owners: it stands still for a while, or for good. */
  readonly freeze: number;
  /** Per node: it joins late. */
  readonly late: number;
}

/** One run. */
export interface Simulation {
  readonly seed: number;
  readonly nodes: number;
  readonly chunks: number;
  readonly owners: number;
  readonly faults: Faults;
  /** Time of one chunk on a link, and of a message. */
  readonly chunkMs: number;
  readonly latencyMs: number;
  readonly creditChunks: number;
  /** Of each link; 1 when left out. */
  readonly connections?: number;
  /** A node whose link brings chunks so many times slower. */
  readonly slow?: { readonly nodeRank: number; readonly times: number };
  /** A node that stands still from this time on. */
  readonly halt?: { readonly nodeRank: number; readonly atMs: number };
}

/** What came of it. */
export interface Outcome {
  /** Per node rank; null: never. */
  readonly completedMs: readonly (number | null)[];
  readonly failed: readonly (string | null)[];
  /** Nodes that died or stand still for good. */
  readonly gone: readonly boolean[];
  /** Chunks that came more often than once, over all nodes. */
  readonly repeated: number;
  /** Most chunks on their way over one link. */
  readonly inFlightMax: number;
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
  readonly fired: ReadonlySet<keyof Faults>;
}

/** Numbers from 0 to 1 that follow from a seed. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
