/** Which choices have failed at which positions of one search. */

/** Bits that may be spent on one search: 8 MiB. */
const BITS_MAX = 2 ** 26;

/**
 * A choice that depends on nothing but its position fails there for ever, so it need not be tried twice: that turns exponential searches
 * into linear ones. Keeping book costs something too, and ordinary searches are over before it would pay; it begins when a search drags.
 */
export class FailureMemo {
  readonly #choices: number;
  #bits: Uint8Array | undefined;
  #positions = 0;
  #calls = 0;
  #callsBefore = 0;

  readonly #eager: boolean;

  /** `eager` keeps book from the first choice on; tests use it to see the memo at work on short texts. */
  constructor(choices: number, eager = false) {
    this.#choices = choices;
    this.#eager = eager;
  }

  /** Forgets everything for a search of a text of `length` characters. */
  begin(length: number): void {
    this.#bits = undefined;
    this.#positions = length + 1;
    this.#calls = 0;
    const worthIt = this.#eager ? 0 : 64 + 8 * length;
    this.#callsBefore = this.#choices * this.#positions <= BITS_MAX ? worthIt : Number.POSITIVE_INFINITY;
  }

  /** Whether the choice is new at this position; from then on it is not. */
  isNew(choice: number, position: number): boolean {
    this.#calls += 1;
    if (this.#calls < this.#callsBefore) return true;
    this.#bits ??= new Uint8Array(Math.ceil((this.#choices * this.#positions) / 8));
    const bit = choice * this.#positions + position;
    const mask = 1 << (bit & 7);
    const byte = this.#bits[bit >>> 3] as number;
    this.#bits[bit >>> 3] = byte | mask;
    return (byte & mask) === 0;
  }
}
