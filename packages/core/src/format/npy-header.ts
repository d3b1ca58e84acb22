/**
 * The header of a numpy array. Source: `numpy/lib/format.py`: magic, version, length, then a Python dict literal with exactly the keys
 * `descr`, `fortran_order` and `shape`. numpy evaluates the literal; here a scanner for just this literal reads it, so nothing can run.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";

/** A parsed header. */
export interface NpyHeader {
  /** Element type as numpy spells it (`<f4`), or null when it is a list of fields. */
  readonly descr: string | null;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  /** Bytes of magic, version, length and literal: where the elements begin. */
  readonly headerBytes: number;
}

/** For messages. */
export interface NpyPlace {
  readonly file: string;
  /** Name of the record in an archive. */
  readonly record?: string;
}

/** Magic and version, before the length. */
const VERSION_END = 8;
const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);

/** Whether bytes start like a numpy array. */
export function startsLikeNpy(head: Uint8Array): boolean {
  return head.length >= MAGIC.length && MAGIC.every((byte, at) => head[at] === byte);
}

/**
 * Bytes up to the elements, as far as `head` tells; `head` needs 12 bytes for an answer, or the whole file.
 * @throws {FormatError} RANKCAST_NPY_HEADER, RANKCAST_TRUNCATED, RANKCAST_LIMIT.
 */
export function npyHeaderBytes(head: Uint8Array, place: NpyPlace, limits: Limits): number {
  if (!startsLikeNpy(head)) failNpy(place, "no numpy array: the magic number is missing", 0);
  const version = head[MAGIC.length];
  if (version === undefined || head.length < VERSION_END) truncated(place, "the version", head.length);
  if (version < 1 || version > 3)
    failNpy(place, `version ${version}.${head[MAGIC.length + 1]} where 1.0, 2.0 and 3.0 are known`, MAGIC.length);
  const lengthBytes = version === 1 ? 2 : 4;
  const begin = VERSION_END + lengthBytes;
  if (head.length < begin) truncated(place, "the length of the header", head.length);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const length = version === 1 ? view.getUint16(VERSION_END, true) : view.getUint32(VERSION_END, true);
  enforceLimit(limits, "npyHeaderBytes", length, { file: place.file, what: "header of a numpy array" });
  return begin + length;
}

/**
 * Parses a header; `bytes` are all of `npyHeaderBytes`.
 * @throws {FormatError} RANKCAST_NPY_HEADER with the byte in the header.
 */
export function parseNpyHeader(bytes: Uint8Array, place: NpyPlace): NpyHeader {
  const begin = VERSION_END + (bytes[MAGIC.length] === 1 ? 2 : 4);
  // Version 3 exists for field names beyond latin1; no other part of the literal can differ.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + begin, bytes.byteLength - begin).toString(
    bytes[MAGIC.length] === 3 ? "utf8" : "latin1",
  );
  return { ...new LiteralScanner(text, (problem, at) => failNpy(place, problem, begin + at)).parse(), headerBytes: bytes.length };
}

type Fail = (problem: string, at: number) => never;

/** Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` and nothing else. */
class LiteralScanner {
  readonly #text: string;
  readonly #fail: Fail;
  #at = 0;

  constructor(text: string, fail: Fail) {
    this.#text = text;
    this.#fail = fail;
  }

  parse(): Omit<NpyHeader, "headerBytes"> {
    const found = new Map<string, unknown>();
    this.#require(/\s*\{/y, "a dict");
    while (this.#take(/\s*\}/y) === undefined) {
      if (found.size > 0) this.#require(/\s*,/y, '"," or "}"');
      if (found.size > 0 && this.#take(/\s*\}/y) !== undefined) break;
      const key = this.#readText("a key");
      if (found.has(key)) this.#fail(`a second ${quote(key)}`, this.#at);
      this.#require(/\s*:/y, '":"');
      found.set(key, this.#readField(key));
    }
    this.#require(/\s*$/y, "the end of the header");
    for (const key of ["descr", "fortran_order", "shape"]) if (!found.has(key)) this.#fail(`no ${quote(key)}`, this.#at);
    return {
      descr: found.get("descr") as string | null,
      fortranOrder: found.get("fortran_order") as boolean,
      shape: found.get("shape") as number[],
    };
  }

  #readField(key: string): string | null | boolean | number[] {
    if (key === "descr") return this.#take(/\s*(?=\[)/y) === undefined ? this.#readText("an element type") : this.#skipFields();
    if (key === "shape") return this.#readShape();
    if (key !== "fortran_order") return this.#fail(`unknown key ${quote(key)}`, this.#at);
    return this.#require(/\s*(?:True|False)/y, "True or False").endsWith("True");
  }

  #readText(what: string): string {
    return this.#require(/\s*(?:'[^'\\\n]*'|"[^"\\\n]*")/y, what)
      .trim()
      .slice(1, -1);
  }

  #readShape(): number[] {
    const shape: number[] = [];
    this.#require(/\s*\(/y, "a tuple");
    while (this.#take(/\s*\)/y) === undefined) {
      if (shape.length > 0) this.#require(/\s*,/y, '"," or ")"');
      if (shape.length > 0 && this.#take(/\s*\)/y) !== undefined) return shape;
      // Python 2 wrote long integers with an L.
      const size = Number(this.#require(/\s*\d+L?/y, "a size").replace("L", ""));
      if (!Number.isSafeInteger(size)) this.#fail("a size above 2^53-1", this.#at);
      shape.push(size);
    }
    if (shape.length === 1 && !/,\s*\)$/.test(this.#text.slice(0, this.#at))) this.#fail("a number in brackets is no tuple", this.#at);
    return shape;
  }

  /** The list of fields of a structured type: kept as unknown, so only its end is looked for. */
  #skipFields(): null {
    this.#require(/\[(?:[^[\]'"]|'[^'\n]*'|"[^"\n]*"|\[(?:[^[\]'"]|'[^'\n]*'|"[^"\n]*")*\])*\]/y, "a list of fields");
    return null;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text)?.[0];
    if (match !== undefined) this.#at += match.length;
    return match;
  }

  #require(pattern: RegExp, what: string): string {
    const match = this.#take(pattern);
    if (match === undefined) this.#fail(`${what} is expected, found ${quote(this.#text.slice(this.#at, this.#at + 20))}`, this.#at);
    return match;
  }
}

function failNpy(place: NpyPlace, problem: string, offset: number): never {
  throw new FormatError("RANKCAST_NPY_HEADER", `${describePlace(place)}: ${problem}, at byte ${offset}`, { details: { ...place, offset } });
}

function truncated(place: NpyPlace, what: string, offset: number): never {
  throw new FormatError("RANKCAST_TRUNCATED", `${describePlace(place)}: the numpy array ends inside ${what}, at byte ${offset}`, {
    details: { ...place, offset },
  });
}

/** File and record for a message. */
export function describePlace({ file, record }: NpyPlace): string {
  return record === undefined ? file : `${file}: record ${quote(record)}`;
}
