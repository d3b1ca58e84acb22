/**
 * A strict JSON reader that walks bytes and builds nothing. `JSON.parse` cannot be used on untrusted headers: it keeps the last of two equal
 * names without a word, turns integers above 2^53 into neighbours, takes `2.0`, `2e0` and `-0` for integers, moves names that look like
 * integers to the front, and nests without bound. Grammar: RFC 8259; what is refused beyond it (lone surrogates, a byte order mark) follows
 * serde_json, which the safetensors reference uses.
 */
import { isUtf8 } from "node:buffer";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { JsonStringReader } from "./json-scanner-string.ts";

/** What kind of value comes next. */
export type JsonKind = "object" | "array" | "string" | "number" | "true" | "false" | "null";

/** Who the scanner works for. */
export interface JsonScannerOptions {
  readonly limits: Limits;
  /** Name of the file, for the message of the depth limit. */
  readonly where: string;
  /** Throws the caller's error. `offset` counts bytes from the start of the scanned bytes. */
  readonly fail: (fault: "encoding" | "syntax", problem: string, offset: number) => never;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
/** 15 digits always fit a double exactly. */
const EXACT_DIGITS_MAX = 15;
const U64_MAX = 2n ** 64n - 1n;
const LITERALS: ReadonlyMap<number, JsonKind> = new Map([
  [0x74, "true"],
  [0x66, "false"],
  [0x6e, "null"],
]);
/**
 * Cursor over one JSON text. The caller drives it along the grammar it expects:
 * `beginObject()`, then `nextKey()` until it gives null, reading or skipping one value per key; arrays likewise with `nextElement()`;
 * `end()` after the root value.
 *
 * Every method fails through `options.fail` where the text differs from what was asked for.
 */
export class JsonScanner {
  /** Next byte to read. */
  at = 0;
  /** Where the name that `nextKey` gave last begins. */
  keyAt = 0;
  readonly #bytes: Buffer;
  readonly #options: JsonScannerOptions;
  readonly #strings: JsonStringReader;
  #depth = 0;
  /** Whether the innermost container was opened and nothing was read from it yet: then no comma may come. */
  #fresh = false;

  /** Fails with `encoding` when the bytes are not UTF-8 (overlong forms and encoded surrogates included). */
  constructor(bytes: Uint8Array, options: JsonScannerOptions) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.#strings = new JsonStringReader(this.#bytes, options);
    if (!isUtf8(bytes)) options.fail("encoding", "bytes that are not UTF-8", offsetOfInvalidUtf8(bytes));
  }

  /** Bytes that the characters of the text that was read last take on the heap. */
  get textBytes(): number {
    return this.#strings.textBytes;
  }
  /** Kind of the next value; reads nothing but white space. */
  peek(): JsonKind {
    this.#skipSpace();
    const byte = this.#bytes[this.at] ?? -1;
    if (byte === QUOTE) return "string";
    if (byte === OPEN_OBJECT) return "object";
    if (byte === OPEN_ARRAY) return "array";
    if (byte === MINUS || isDigit(byte)) return "number";
    return LITERALS.get(byte) ?? this.#expected("a value");
  }

  /** Enters an object. */
  beginObject(): void {
    this.#begin(OPEN_OBJECT, "an object");
  }

  /** Enters an array. */
  beginArray(): void {
    this.#begin(OPEN_ARRAY, "an array");
  }

  /** The next name in the object, or null at its end (which is then left). */
  nextKey(): string | null {
    if (!this.#next(CLOSE_OBJECT)) return null;
    this.keyAt = this.at;
    const key = this.#string("a name in double quotes");
    this.#skipSpace();
    if (this.#bytes[this.at] !== COLON) this.#expected('":"');
    this.at += 1;
    return key;
  }

  /** Whether the array has another element, which is then to be read; its end is left. */
  nextElement(): boolean {
    return this.#next(CLOSE_ARRAY);
  }

  /** A string value. */
  readString(): string {
    this.#skipSpace();
    return this.#string("a string");
  }

  /** An integer in 0 … 2^64-1 as it is written: no sign, fraction or exponent. A bigint only above 2^53-1. */
  readUnsigned(): number | bigint {
    this.#skipSpace();
    const begin = this.at;
    const end = this.#digits();
    const after = this.#bytes[end] ?? 0;
    if (after === POINT || (after | 0x20) === 0x65) this.#fail("an integer is expected, not a number with fraction or exponent", begin);
    this.at = end;
    if (end - begin <= EXACT_DIGITS_MAX) {
      let value = 0;
      for (let at = begin; at < end; at += 1) value = value * 10 + (this.#bytes[at] ?? 0) - ZERO;
      return value;
    }
    if (end - begin > 20) this.#fail("an integer above 2^64-1", begin);
    const value = BigInt(this.#bytes.toString("latin1", begin, end));
    if (value > U64_MAX) this.#fail("an integer above 2^64-1", begin);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }

  /** An integer in 0 … 2^53-1. */
  readInteger(): number {
    this.#skipSpace();
    const begin = this.at;
    const value = this.readUnsigned();
    return typeof value === "number" ? value : this.#fail("an integer above 2^53-1", begin);
  }

  /** Any number, rounded to a double. */
  readNumber(): number {
    this.#skipSpace();
    const begin = this.at;
    this.#skipNumber();
    return Number(this.#bytes.toString("latin1", begin, this.at));
  }

  /** `true` or `false`. */
  readBoolean(): boolean {
    const kind = this.peek();
    if (kind !== "true" && kind !== "false") this.#expected("true or false");
    this.#literal(kind);
    return kind === "true";
  }

  /** `null`. */
  readNull(): void {
    if (this.peek() !== "null") this.#expected("null");
    this.#literal("null");
  }

  /** Reads one value of any kind, checks its grammar and forgets it. Not recursive. */
  skipValue(): void {
    const closers: number[] = [];
    do {
      const closer = closers.at(-1);
      if (closer === CLOSE_OBJECT ? this.nextKey() === null : closer === CLOSE_ARRAY && !this.nextElement()) {
        closers.pop();
        continue;
      }
      const kind = this.peek();
      if (kind === "object" || kind === "array") {
        this.#begin(kind === "object" ? OPEN_OBJECT : OPEN_ARRAY, kind);
        closers.push(kind === "object" ? CLOSE_OBJECT : CLOSE_ARRAY);
      } else this.#skipScalar(kind);
    } while (closers.length > 0);
  }

  /** Proves that only white space follows. */
  end(): void {
    this.#skipSpace();
    if (this.at < this.#bytes.length) this.#expected("the end of the text");
  }

  #begin(open: number, what: string): void {
    this.#skipSpace();
    if (this.#bytes[this.at] !== open) this.#expected(what);
    this.at += 1;
    this.#depth += 1;
    enforceLimit(this.#options.limits, "jsonDepth", this.#depth, { file: this.#options.where, offset: this.at });
    this.#fresh = true;
  }

  /** Past the comma before the next member; false when the container ended instead. */
  #next(close: number): boolean {
    this.#skipSpace();
    const byte = this.#bytes[this.at];
    if (byte === close) {
      this.at += 1;
      this.#depth -= 1;
      this.#fresh = false;
      return false;
    }
    if (!this.#fresh) {
      if (byte !== COMMA) this.#expected(`"," or "${String.fromCharCode(close)}"`);
      this.at += 1;
      this.#skipSpace();
      if (this.#bytes[this.at] === close) this.#expected("a member after the comma");
    }
    this.#fresh = false;
    return true;
  }

  #skipSpace(): void {
    const bytes = this.#bytes;
    for (;;) {
      const byte = bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at += 1;
    }
  }

  #skipScalar(kind: JsonKind): void {
    if (kind === "string") this.#string("a string");
    else if (kind === "number") this.#skipNumber();
    else this.#literal(kind);
  }

  #literal(word: JsonKind): void {
    if (this.#bytes.toString("latin1", this.at, this.at + word.length) !== word) this.#expected(word);
    this.at += word.length;
  }

  /** End of the digits at the cursor: at least one, no leading zero. */
  #digits(): number {
    const bytes = this.#bytes;
    let end = this.at;
    while (isDigit(bytes[end] ?? 0)) end += 1;
    if (end === this.at) this.#expected("an unsigned integer");
    if (bytes[this.at] === ZERO && end > this.at + 1) this.#fail("a number with a leading zero", this.at);
    return end;
  }

  #skipNumber(): void {
    const bytes = this.#bytes;
    if (bytes[this.at] === MINUS) this.at += 1;
    this.at = this.#digits();
    if (bytes[this.at] === POINT) this.#skipDigits(this.at + 1);
    if (((bytes[this.at] ?? 0) | 0x20) === 0x65) {
      const sign = bytes[this.at + 1];
      this.#skipDigits(this.at + (sign === MINUS || sign === 0x2b ? 2 : 1));
    }
  }

  /** Digits of a fraction or exponent, where leading zeros are fine. */
  #skipDigits(begin: number): void {
    this.at = begin;
    while (isDigit(this.#bytes[this.at] ?? 0)) this.at += 1;
    if (this.at === begin) this.#expected("a digit");
  }

  #string(what: string): string {
    if (this.#bytes[this.at] !== QUOTE) this.#expected(what);
    const text = this.#strings.read(this.at + 1);
    this.at = this.#strings.end;
    return text;
  }

  #expected(what: string): never {
    return this.#fail(`${what} is expected, found ${nameOf(this.#bytes[this.at])}`, this.at);
  }

  #fail(problem: string, offset: number): never {
    return this.#options.fail("syntax", problem, offset);
  }
}

function nameOf(byte: number | undefined): string {
  if (byte === undefined) return "the end of the text";
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}"` : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39;
}

/** First byte that starts no well-formed character. Only runs when there is one: `isUtf8` is native, this is not. */
function offsetOfInvalidUtf8(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (at + length > bytes.length || !isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return at;
}
