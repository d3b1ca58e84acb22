/** Random numbers from a seed: the same seed gives the same run on every machine. */

/** A source of random choices. */
export interface Random {
  /** 0 to `end - 1`. */
  below(end: number): number;
  /** True with that probability. */
  chance(probability: number): boolean;
}

/** Mulberry32: 32 bits of state are enough for one schedule, and it is fast. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (end) => Math.floor(next() * end), chance: (probability) => next() < probability };
}
