/** A key as code points, which is how Python counts. */
import type { CodePoints } from "./match-program.ts";

/** Holds one key at a time in a buffer that is used again. */
export class KeyText implements CodePoints {
  codes = new Uint32Array(256);
  length = 0;
  #text = "";
  /** Whether UTF-16 units and code points are the same thing. */
  #plain = true;

  /** Takes a key in. */
  set(text: string): void {
    this.#text = text;
    this.length = 0;
    if (this.codes.length < text.length) this.codes = new Uint32Array(2 * text.length);
    for (let at = 0; at < text.length; ) {
      const code = text.codePointAt(at) as number;
      this.codes[this.length] = code;
      this.length += 1;
      at += code > 0xffff ? 2 : 1;
    }
    this.#plain = this.length === text.length;
  }

  /** The text from one code point to another. */
  slice(begin: number, end: number): string {
    if (this.#plain) return this.#text.slice(begin, end);
    let text = "";
    for (let at = begin; at < end; at += 1) text += String.fromCodePoint(this.codes[at] as number);
    return text;
  }
}
