/** Random numbers of one input: the same for the same run seed and input index, on any number of threads. */

/** sfc32, seeded by two numbers. */
export class FuzzRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, index: number) {
    this.#a = seed | 0;
    this.#b = index | 0;
    this.#c = Math.floor(index / 2 ** 32) ^ Math.floor(seed / 2 ** 32);
    for (let turn = 0; turn < 12; turn += 1) this.u32();
  }

  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  /** A whole number from 0 to `end` - 1; 0 when `end` is below 1. */
  below(end: number): number {
    return end < 1 ? 0 : Math.floor((this.u32() / 2 ** 32) * end);
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  /** Small numbers often, large ones seldom. */
  skewed(end: number): number {
    return this.below(1 + this.below(end));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

/** Numbers at the edges of what files and engines count with. */
export const EDGES: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 4n, 7n, 8n, 16n, 63n, 64n, 65n, 100n, 255n, 256n, 1000n, 4096n, 65535n, 65536n, 99_999_999n],
  ...[2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n + 3n],
  ...[2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, 0x4000000000000001n],
];
