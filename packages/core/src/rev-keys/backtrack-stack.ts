/** What the matcher must come back to, or undo, when it fails. */

/** Kinds of entries; each has three operands. */
export const ENTRY = {
  /** instruction, position */
  CHOICE: 0,
  /** slot, value before */
  RESTORE: 1,
  /** instruction behind the run, its end, its least end: give one character back */
  SHORTER_RUN: 2,
  /** instruction of the run, its end, how many more it may take */
  LONGER_RUN: 3,
} as const;

const ENTRY_WORDS = 4;

/** A stack of entries in one growing array; `kind`, `first`, `second` and `third` are those of the entry popped last. */
export class BacktrackStack {
  height = 0;
  kind = 0;
  first = 0;
  second = 0;
  third = 0;
  #words = new Int32Array(256 * ENTRY_WORDS);

  /** Puts an entry on top. */
  push(kind: number, first: number, second: number, third: number): void {
    const at = this.height * ENTRY_WORDS;
    if (at === this.#words.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.#words);
      this.#words = larger;
    }
    const words = this.#words;
    words[at] = kind;
    words[at + 1] = first;
    words[at + 2] = second;
    words[at + 3] = third;
    this.height += 1;
  }

  /** Takes the top entry, which must exist, into the fields. */
  pop(): void {
    this.height -= 1;
    const at = this.height * ENTRY_WORDS;
    const words = this.#words;
    this.kind = words[at] as number;
    this.first = words[at + 1] as number;
    this.second = words[at + 2] as number;
    this.third = words[at + 3] as number;
  }

  /** Drops everything above `base` but what must be undone when something before it fails. */
  keepRestores(base: number): void {
    let kept = base * ENTRY_WORDS;
    for (let from = kept; from < this.height * ENTRY_WORDS; from += ENTRY_WORDS) {
      if (this.#words[from] !== ENTRY.RESTORE) continue;
      this.#words.copyWithin(kept, from, from + ENTRY_WORDS);
      kept += ENTRY_WORDS;
    }
    this.height = kept / ENTRY_WORDS;
  }
}
