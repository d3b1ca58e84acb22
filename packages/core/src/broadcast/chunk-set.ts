/** A set of chunk indexes as a bitmap. Immutable: machines keep it in their states, drivers send it over the wire. */

/** Indexes from 0 to `size` (exclusive). */
export class ChunkSet {
  readonly size: number;
  /** Members. */
  readonly count: number;
  readonly #words: Uint32Array;

  private constructor(size: number, words: Uint32Array, count: number) {
    this.size = size;
    this.#words = words;
    this.count = count;
  }

  /** The empty set. */
  static none(size: number): ChunkSet {
    return new ChunkSet(size, new Uint32Array(Math.ceil(size / 32)), 0);
  }

  /** Every index. */
  static all(size: number): ChunkSet {
    return ChunkSet.none(size).complement();
  }

  /** Those of `size` indexes for which `holds` is true. */
  static where(size: number, holds: (index: number) => boolean): ChunkSet {
    const words = new Uint32Array(Math.ceil(size / 32));
    let count = 0;
    for (let index = 0; index < size; index += 1) {
      if (!holds(index)) continue;
      words[index >> 5] = (words[index >> 5] ?? 0) | (1 << (index & 31));
      count += 1;
    }
    return new ChunkSet(size, words, count);
  }

  /**
   * The set of a wire form.
   * @throws {RangeError} when the length does not fit `size` or an index outside it is set.
   */
  static fromBytes(size: number, bytes: Uint8Array): ChunkSet {
    if (bytes.length !== Math.ceil(size / 8)) throw new RangeError(`${bytes.length} bytes for ${size} chunks`);
    const words = new Uint32Array(Math.ceil(size / 32));
    bytes.forEach((byte, at) => {
      words[at >> 2] = (words[at >> 2] ?? 0) | (byte << ((at & 3) * 8));
    });
    if (size % 32 !== 0 && (words[words.length - 1] ?? 0) >>> (size % 32) !== 0) throw new RangeError("a chunk beyond the last is set");
    return new ChunkSet(size, words, countBits(words));
  }

  /** One bit per index, the lowest first. */
  toBytes(): Uint8Array {
    return Uint8Array.from({ length: Math.ceil(this.size / 8) }, (_, at) => ((this.#words[at >> 2] ?? 0) >>> ((at & 3) * 8)) & 255);
  }

  /** Whether `index` is a member. */
  has(index: number): boolean {
    return index >= 0 && index < this.size && ((this.#words[index >> 5] ?? 0) & (1 << (index & 31))) !== 0;
  }

  /** Whether every index is. */
  get full(): boolean {
    return this.count === this.size;
  }

  /** With one more. @throws {RangeError} for an index outside the set's size. */
  with(index: number): ChunkSet {
    if (!(index >= 0 && index < this.size)) throw new RangeError(`chunk ${index} of ${this.size}`);
    return this.has(index) ? this : this.#toggled(index, 1);
  }

  /** With one less. */
  without(index: number): ChunkSet {
    return this.has(index) ? this.#toggled(index, -1) : this;
  }

  /** What the other set lacks. */
  minus(other: ChunkSet): ChunkSet {
    return this.#combined(other, (mine, theirs) => mine & ~theirs);
  }

  /** What both have. */
  and(other: ChunkSet): ChunkSet {
    return this.#combined(other, (mine, theirs) => mine & theirs);
  }

  /** Every other index. */
  complement(): ChunkSet {
    const words = this.#words.map((word) => ~word);
    if (this.size % 32 !== 0) words[words.length - 1] = (words[words.length - 1] ?? 0) & (2 ** (this.size % 32) - 1);
    return new ChunkSet(this.size, words, this.size - this.count);
  }

  /** The lowest index that both sets have, -1 when there is none. */
  firstShared(other: ChunkSet): number {
    for (let at = 0; at < this.#words.length; at += 1) {
      const word = (this.#words[at] ?? 0) & (other.#words[at] ?? 0);
      if (word !== 0) return at * 32 + 31 - Math.clz32(word & -word);
    }
    return -1;
  }

  #toggled(index: number, change: number): ChunkSet {
    const words = this.#words.slice();
    words[index >> 5] = (words[index >> 5] ?? 0) ^ (1 << (index & 31));
    return new ChunkSet(this.size, words, this.count + change);
  }

  #combined(other: ChunkSet, combine: (mine: number, theirs: number) => number): ChunkSet {
    const words = this.#words.map((word, at) => combine(word, other.#words[at] ?? 0));
    return new ChunkSet(this.size, words, countBits(words));
  }
}

function countBits(words: Uint32Array): number {
  let count = 0;
  for (let word of words) {
    for (; word !== 0; word &= word - 1) count += 1;
  }
  return count;
}
