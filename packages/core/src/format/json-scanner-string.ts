/** Strings of the JSON scanner: the fast plain kind, and the rare kind with escapes. */
import { limitError } from "../limits/exceeded.ts";
import type { JsonScannerOptions } from "./json-scanner.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Field names and dtype names repeat once per tensor: short strings are looked up before they are made. */
const INTERNED_CHARACTERS_MAX = 16;
const INTERNED_SLOTS = 256;
/** A string that is still open after this many bytes is asked once whether it can end in time. */
const PROBE_BYTES = 65_536;
const ESCAPES: ReadonlyMap<number, string> = new Map([
  [QUOTE, '"'],
  [BACKSLASH, "\\"],
  [0x2f, "/"],
  [0x62, "\b"],
  [0x66, "\f"],
  [0x6e, "\n"],
  [0x72, "\r"],
  [0x74, "\t"],
]);

/** Reads string literals out of bytes that are known to be UTF-8. Refuses control characters, unknown escapes and lone surrogates. */
export class JsonStringReader {
  /** First byte after the string that was read last. */
  end = 0;
  /** Bytes of that string's characters on the heap; 0 for one that was there already. */
  textBytes = 0;
  readonly #bytes: Buffer;
  readonly #options: JsonScannerOptions;
  readonly #bytesMax: number;
  readonly #interned = new Array<string>(INTERNED_SLOTS).fill("");

  constructor(bytes: Buffer, options: JsonScannerOptions) {
    this.#bytes = bytes;
    this.#options = options;
    this.#bytesMax = options.limits.jsonStringBytes;
  }

  /** The string whose first character is at `begin`, after the opening quote. */
  read(begin: number): string {
    const bytes = this.#bytes;
    let at = begin;
    let hash = 0;
    let seen = 0;
    const stop = begin + this.#bytesMax;
    let soon = Math.min(stop, begin + PROBE_BYTES);
    for (;;) {
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (at >= soon) {
        if (at >= stop || this.#runsPast(stop, at)) this.#refuseLength(begin);
        soon = stop;
      }
      if (byte === BACKSLASH) return this.#escapedString(begin, at);
      if (byte === undefined) this.#fail("the text ends inside a string", at);
      if (byte < 0x20) this.#fail(`a control character (0x${byte.toString(16).padStart(2, "0")}) in a string`, at);
      seen |= byte;
      hash = (Math.imul(hash, 31) + byte) | 0;
      at += 1;
    }
    this.end = at + 1;
    if (seen >= 0x80) return this.#wide(bytes.toString("utf8", begin, at));
    this.textBytes = at - begin;
    if (at - begin > INTERNED_CHARACTERS_MAX) return bytes.toString("latin1", begin, at);
    const slot = (hash ^ (hash >>> 8)) & (INTERNED_SLOTS - 1);
    const known = this.#interned[slot] ?? "";
    if (this.#equals(known, begin, at)) {
      this.textBytes = 0;
      return known;
    }
    const text = bytes.toString("latin1", begin, at);
    this.#interned[slot] = text;
    return text;
  }

  /** Whether no quote comes before `stop`: then the string is too long whatever is in it, and looking at each byte of 64 MiB takes most of a second. */
  #runsPast(stop: number, at: number): boolean {
    const bytes = this.#bytes;
    return bytes.length > stop && bytes.subarray(at, stop + 1).indexOf(QUOTE) === -1;
  }

  #fail(problem: string, offset: number): never {
    return this.#options.fail("syntax", problem, offset);
  }

  #refuseLength(offset: number): never {
    const { limits, where } = this.#options;
    return limitError(limits, "jsonStringBytes", this.#bytesMax + 1, { file: where, offset });
  }

  /** Text with characters beyond Latin-1 takes two bytes for each. */
  #wide(text: string): string {
    this.textBytes = 2 * text.length;
    return text;
  }

  #equals(text: string, begin: number, end: number): boolean {
    if (text.length !== end - begin) return false;
    for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) !== this.#bytes[begin + index]) return false;
    return true;
  }

  /** The rare string with escapes; `at` is the first backslash. Texts inside texts are full of them, so the bytes are put together, not strings. */
  #escapedString(begin: number, at: number): string {
    const bytes = this.#bytes;
    // Escapes are never shorter than what they stand for.
    const decoded = Buffer.allocUnsafe(this.#endOfString(begin, at) - begin);
    let length = bytes.copy(decoded, 0, begin, at);
    let cursor = at;
    for (let byte = bytes[cursor] ?? QUOTE; byte !== QUOTE; byte = bytes[cursor] ?? QUOTE) {
      if (byte !== BACKSLASH) {
        decoded[length] = byte;
        length += 1;
        cursor += 1;
        continue;
      }
      this.end = cursor;
      length += decoded.write(this.#escape(), length, "utf8");
      cursor = this.end;
    }
    this.end = cursor + 1;
    return this.#wide(decoded.toString("utf8", 0, length));
  }

  /** Where the closing quote is. */
  #endOfString(begin: number, at: number): number {
    const bytes = this.#bytes;
    let cursor = at;
    for (;;) {
      const byte = bytes[cursor];
      if (byte === undefined) this.#fail("the text ends inside a string", bytes.length);
      if (cursor - begin > this.#bytesMax) this.#refuseLength(begin);
      if (byte === QUOTE) return cursor;
      if (byte < 0x20) this.#fail("a control character in a string", cursor);
      cursor += byte === BACKSLASH ? 2 : 1;
    }
  }

  /** Text of the escape at `end`, which is moved past it. */
  #escape(): string {
    const begin = this.end;
    const byte = this.#bytes[begin + 1] ?? -1;
    if (byte !== 0x75) {
      this.end = begin + 2;
      return ESCAPES.get(byte) ?? this.#fail("an unknown escape in a string", begin);
    }
    const unit = this.#hex(begin + 2);
    this.end = begin + 6;
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    const paired = unit < 0xdc00 && this.#bytes[this.end] === BACKSLASH && this.#bytes[this.end + 1] === 0x75;
    const low = paired ? this.#hex(this.end + 2) : 0;
    if (low < 0xdc00 || low > 0xdfff) this.#fail("an escape of half a surrogate pair", begin);
    this.end += 6;
    return String.fromCharCode(unit, low);
  }

  #hex(begin: number): number {
    const digits = this.#bytes.toString("latin1", begin, begin + 4);
    return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : this.#fail("an escape without four hexadecimal digits", begin);
  }
}
