/** Writes values as pickles of any protocol: the other half of the reader, for tests only. Shares nothing with it but the opcodes' facts. */
import { ComplexValue, KeyTuple, OpaqueValue, TreeDict, type TreeKey, TreeList, type TreeValue } from "@rankcast/core/internal";
import { bytesOf, int, type Part, u16, u32, u64 } from "./write-pickle.ts";

/** A pickle of `value`, with memo entries for all containers so that sharing and cycles survive. */
export function encodePickle(value: TreeValue, protocol: number): Uint8Array {
  const writer = new PickleWriter(protocol);
  writer.write(value);
  const body = bytesOf(...writer.parts, ".");
  if (protocol < 2) return body;
  if (protocol < 4) return bytesOf("\x80", protocol, body);
  return bytesOf("\x80", protocol, "\x95", u64(body.length), body);
}

class PickleWriter {
  readonly parts: Part[] = [];
  readonly #protocol: number;
  readonly #memo = new Map<TreeValue, number>();

  constructor(protocol: number) {
    this.#protocol = protocol;
  }

  write(value: TreeValue): void {
    if (value === null) this.#put("N");
    else if (typeof value === "boolean") this.#put(this.#protocol < 2 ? (value ? "I01\n" : "I00\n") : value ? "\x88" : "\x89");
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "bigint") this.#bigint(value);
    else if (typeof value === "string") this.#text(value);
    else if (value instanceof Uint8Array) this.#bytes(value);
    else this.#shared(value);
  }

  #put(...parts: Part[]): void {
    this.parts.push(...parts);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) this.#integer(value);
    else if (this.#protocol === 0) this.#put(`F${pythonFloat(value)}\n`);
    else {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(value);
      this.#put("G", bytes);
    }
  }

  #integer(value: number): void {
    if (this.#protocol === 0) this.#put(`I${value}\n`);
    else if (value >= 256 && value < 65536) this.#put("M", u16(value));
    else if (Math.abs(value) < 2 ** 31 || this.#protocol >= 2) this.#put(int(value));
    else this.#put(`L${value}L\n`);
  }

  #bigint(value: bigint): void {
    if (this.#protocol < 2) {
      this.#put(`L${value}L\n`);
      return;
    }
    const bytes: number[] = [];
    for (let rest = value; bytes.length < 300 && !(bytes.length > 0 && (rest === 0n || rest === -1n)); rest >>= 8n)
      bytes.push(Number(rest & 255n));
    bytes.push(value < 0n ? 0xff : 0);
    this.#put(...(bytes.length < 256 ? ["\x8a", bytes.length] : ["\x8b", u32(bytes.length)]), Uint8Array.from(bytes));
  }

  #text(value: string): void {
    if (this.#protocol === 0) {
      this.#put(`V${value.replace(/[\\\n\r\0\x1a]|[^\x00-\xff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)}\n`);
      return;
    }
    const utf8 = encodeWithSurrogates(value);
    if (this.#protocol >= 4 && utf8.length < 256) this.#put("\x8c", utf8.length, utf8);
    else if (this.#protocol >= 4 && utf8.length % 2 === 1) this.#put("\x8d", u64(utf8.length), utf8);
    else this.#put("X", u32(utf8.length), utf8);
  }

  #bytes(value: Uint8Array): void {
    if (this.#protocol >= 3) {
      this.#put(...(value.length < 256 ? ["C", value.length] : ["B", u32(value.length)]), value);
      return;
    }
    this.#put("c_codecs\nencode\n(");
    this.#text(Buffer.from(value).toString("latin1"));
    this.#text("latin1");
    this.#put("tR");
  }

  #shared(value: Exclude<TreeValue, null | boolean | number | bigint | string | Uint8Array>): void {
    const known = this.#memo.get(value);
    if (known !== undefined) {
      this.#put(...(this.#protocol === 0 ? [`g${known}\n`] : ["j", u32(known)]));
    } else if (value instanceof ComplexValue) this.#complex(value);
    else if (value instanceof TreeList) this.#list(value);
    else if (value instanceof TreeDict) this.#dict(value);
    else if (value instanceof OpaqueValue) this.#object(value);
    else throw new TypeError(`no way to write ${value.kind}`);
  }

  #memoize(value: TreeValue): void {
    const slot = this.#memo.size;
    this.#memo.set(value, slot);
    if (this.#protocol >= 4) this.#put("\x94");
    else this.#put(...(this.#protocol === 0 ? [`p${slot}\n`] : ["r", u32(slot)]));
  }

  #complex({ re, im }: ComplexValue): void {
    this.#put("c__builtin__\ncomplex\n(");
    this.#number(re);
    this.#number(im);
    this.#put("tR");
  }

  #all(values: Iterable<TreeValue>): void {
    for (const value of values) this.write(value);
  }

  #list(value: TreeList): void {
    if (value.type === "list") {
      this.#put(this.#protocol === 0 ? "(l" : "]");
      this.#memoize(value);
      this.#put("(");
      this.#all(value.elements);
      this.#put("e");
      return;
    }
    if (value.type === "frozenset" && this.#protocol >= 4) this.#put("(");
    else if (value.type !== "tuple") this.#put(LIST_CALLS[value.type], "(](");
    else this.#put("(");
    this.#all(value.elements);
    this.#put(value.type === "tuple" ? "t" : value.type === "frozenset" && this.#protocol >= 4 ? "\x91" : "etR");
    this.#memoize(value);
  }

  #dict(value: TreeDict): void {
    this.#put(value.type === "dict" ? (this.#protocol === 0 ? "(d" : "}") : `ccollections\n${value.type}\n)R`);
    this.#memoize(value);
    this.#put("(");
    for (const [key, entry] of value.entries) {
      this.#key(key);
      this.write(entry);
    }
    this.#put("u");
    if (value.attributes !== null) {
      this.#shared(value.attributes);
      this.#put("b");
    }
  }

  #key(key: TreeKey): void {
    if (!(key instanceof KeyTuple)) {
      this.write(key);
      return;
    }
    this.#put("(");
    for (const part of key.parts) this.#key(part);
    this.#put("t");
  }

  #object(value: OpaqueValue): void {
    const dot = value.global.lastIndexOf(".");
    this.#put(`c${value.global.slice(0, dot)}\n${value.global.slice(dot + 1)}\n(`);
    this.#all(value.args);
    this.#put(this.#protocol < 2 ? "tR" : "t\x81");
    this.#memoize(value);
    if (value.state !== null) {
      this.write(value.state);
      this.#put("b");
    }
  }
}

const LIST_CALLS: Readonly<Record<Exclude<TreeList["type"], "list" | "tuple">, string>> = {
  set: "c__builtin__\nset\n",
  frozenset: "c__builtin__\nfrozenset\n",
  deque: "ccollections\ndeque\n",
  Size: "ctorch\nSize\n",
};

function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? (Object.is(value, -0) ? "-0.0" : String(value)) : value > 0 ? "inf" : "-inf";
}

/** UTF-8 in which a lone surrogate has three bytes, as Python's `surrogatepass` writes it. */
export function encodeWithSurrogates(value: string): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const character of value) {
    const point = character.codePointAt(0) ?? 0;
    const lone = point >= 0xd800 && point < 0xe000;
    parts.push(
      lone ? Uint8Array.of(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)) : Buffer.from(character, "utf8"),
    );
  }
  return Buffer.concat(parts);
}
