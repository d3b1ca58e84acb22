/** The reader of patterns and templates: one character at a time, a backslash together with what follows it. */
import { PatternFault } from "./pattern-fault.ts";

/** Octal digits. */
export const OCTAL_DIGITS = /^[0-7]$/;
/** Decimal digits. */
export const DIGITS = /^[0-9]$/;
/** Hexadecimal digits. */
export const HEX_DIGITS = /^[0-9a-fA-F]$/;
/** Letters that may not stand behind a backslash without a meaning. */
export const ASCII_LETTERS = /^[a-zA-Z]$/;

/**
 * Looks one token ahead, as CPython's own reader does: that decides which of two faults is reported, and where. Positions count code points.
 */
export class Tokens {
  readonly #characters: readonly string[];
  #index = 0;
  #next: string | undefined;

  /** @throws {PatternFault} when the text is a single backslash. */
  constructor(text: string) {
    this.#characters = Array.from(text);
    this.#advance();
  }

  /** The token at hand: one character, or a backslash and one; undefined at the end. */
  get next(): string | undefined {
    return this.#next;
  }

  /** Where the token at hand begins. */
  get position(): number {
    return this.#index - Array.from(this.#next ?? "").length;
  }

  /**
   * Takes the token at hand.
   * @throws {PatternFault} when the text ends with a backslash that is now next.
   */
  take(): string | undefined {
    const taken = this.#next;
    this.#advance();
    return taken;
  }

  /**
   * Takes the token at hand if it is `token`.
   * @throws {PatternFault} when the text ends with a backslash that is now next.
   */
  match(token: string): boolean {
    if (this.#next !== token) return false;
    this.#advance();
    return true;
  }

  /** Takes at most `count` tokens that `accept` accepts. */
  takeWhile(count: number, accept: RegExp): string {
    let taken = "";
    for (let turn = 0; turn < count && this.#next !== undefined && accept.test(this.#next); turn += 1) taken += this.take();
    return taken;
  }

  /**
   * Takes everything up to `terminator`, and that too. `name` says what is being read.
   * @throws {PatternFault} when nothing is there, or no terminator.
   */
  takeUntil(terminator: string, name: string): string {
    let taken = "";
    for (;;) {
      const token = this.take();
      if (token === undefined) {
        if (taken === "") throw this.fault(`missing ${name}`);
        throw this.fault(`missing ${terminator}, unterminated name`, lengthOf(taken));
      }
      if (token === terminator) {
        if (taken === "") throw this.fault(`missing ${name}`, 1);
        return taken;
      }
      taken += token;
    }
  }

  /** Goes back to a position that was read from before. */
  seek(position: number): void {
    this.#index = position;
    this.#advance();
  }

  /** A fault `back` code points before the token at hand. */
  fault(text: string, back = 0, hint?: string): PatternFault {
    return this.faultAt(text, this.position - back, hint);
  }

  /** A fault at a position. */
  faultAt(text: string, position: number, hint?: string): PatternFault {
    return new PatternFault(text, { position, whole: this.#characters, ...(hint === undefined ? {} : { hint }) });
  }

  #advance(): void {
    const character = this.#characters[this.#index];
    if (character !== "\\") {
      this.#next = character;
      if (character !== undefined) this.#index += 1;
      return;
    }
    const escaped = this.#characters[this.#index + 1];
    if (escaped === undefined) throw this.faultAt("bad escape (end of pattern)", this.#characters.length - 1);
    this.#next = character + escaped;
    this.#index += 2;
  }
}

/** Code points of `text`. */
export function lengthOf(text: string): number {
  return Array.from(text).length;
}
