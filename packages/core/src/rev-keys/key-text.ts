/** A key as code points, which is how Python counts. */
import type { CodePoints } from "./match-program.ts";

const HIGH_SURROGATE = 0xd800;

/** Holds one key at a time in a buffer that is used again. */
export class KeyText implements CodePoints {
  codes = new Uint32Array(256);
  length = 0;
  /** Whether UTF-16 units and code points are the same thing. */
  plain = true;
  #text = "";

  /** Takes a key in. */
  set(text: string): void {
    this.#text = text;
    if (this.codes.length < text.length) this.codes = new Uint32Array(2 * text.length);
    const { codes } = this;
    let length = 0;
    for (let at = 0; at < text.length; at += 1) {
      let code = text.charCodeAt(at);
      if ((code & 0xfc00) === HIGH_SURROGATE) {
        code = text.codePointAt(at) as number;
        if (code > 0xffff) at += 1;
      }
      codes[length] = code;
      length += 1;
    }
    this.length = length;
    this.plain = length === text.length;
  }

  /** The text from one code point to another. */
  slice(begin: number, end: number): string {
    if (this.plain) return this.#text.slice(begin, end);
    let text = "";
    for (let at = begin; at < end; at += 1) text += String.fromCodePoint(this.codes[at] as number);
    return text;
  }
}
