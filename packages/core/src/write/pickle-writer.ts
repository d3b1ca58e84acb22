/**
 * Opcodes of pickle protocol 2, the only protocol that `torch.load(weights_only=True)` reads in every version. Source: `Lib/pickletools.py`.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";

const LONE_SURROGATE = /\p{Surrogate}/u;
const FIRST_BYTES = 64 * 1024;

/** Builds a pickle. Values are pushed in Python's order; repeated globals and texts come from the memo. */
export class PickleWriter {
  #bytes = Buffer.alloc(FIRST_BYTES);
  #length = 0;
  readonly #memo = new Map<unknown, number>();

  constructor() {
    this.#opcode(0x80).#opcode(2);
  }

  /** `None`. */
  none(): this {
    return this.#opcode(0x4e);
  }

  /** `True` or `False`. */
  boolean(value: boolean): this {
    return this.#opcode(value ? 0x88 : 0x89);
  }

  /** An int. */
  integer(value: number | bigint): this {
    if (value >= 0 && value < 256) return this.#opcode(0x4b).#opcode(Number(value));
    if (value >= 0 && value < 65536) return this.#fixed(0x4d, 2, (at) => this.#bytes.writeUInt16LE(Number(value), at));
    if (value >= -(2 ** 31) && value < 2 ** 31) return this.#fixed(0x4a, 4, (at) => this.#bytes.writeInt32LE(Number(value), at));
    return this.#long(BigInt(value));
  }

  /** A float. */
  float(value: number): this {
    return this.#fixed(0x47, 8, (at) => this.#bytes.writeDoubleBE(value, at));
  }

  /** A str. @throws {UsageError} RANKCAST_SAVE_NAME for half a surrogate pair, which UTF-8 cannot hold. */
  text(value: string): this {
    if (LONE_SURROGATE.test(value))
      throw new UsageError("RANKCAST_SAVE_NAME", `${quote(value)} is not well-formed text`, { details: { key: value } });
    const bytes = Buffer.from(value);
    this.#fixed(0x58, 4, (at) => this.#bytes.writeUInt32LE(bytes.length, at));
    return this.#append(bytes);
  }

  /** A str that comes often. */
  repeatedText(value: string): this {
    return this.#once(`text ${value}`, () => this.text(value));
  }

  /** A bytes object, in the one way that protocol 2 has for it. */
  bytes(value: Uint8Array): this {
    const text = Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
    this.global("_codecs", "encode").tuple(2, () => {
      this.text(text).repeatedText("latin1");
    });
    return this.reduce();
  }

  /** A complex number. */
  complex(re: number, im: number): this {
    this.global("__builtin__", "complex").tuple(2, () => {
      this.float(re).float(im);
    });
    return this.reduce();
  }

  /** A class or function by its name. */
  global(module: string, name: string): this {
    return this.#once(`global ${module} ${name}`, () => this.#opcode(0x63).#append(Buffer.from(`${module}\n${name}\n`)));
  }

  /** A tuple of what `push` pushes. */
  tuple(count: number, push: () => void): this {
    if (count === 0) return this.#opcode(0x29);
    if (count > 3) this.#opcode(0x28);
    push();
    return this.#opcode(count > 3 ? 0x74 : 0x84 + count);
  }

  /** A tuple of ints. */
  integers(values: readonly number[]): this {
    return this.tuple(values.length, () => {
      for (const value of values) this.integer(value);
    });
  }

  /** Calls the global below on the tuple on top. */
  reduce(): this {
    return this.#opcode(0x52);
  }

  /** Gives the object below the state on top. */
  build(): this {
    return this.#opcode(0x62);
  }

  /** Turns the tuple on top into the object it is the persistent id of. */
  persistentId(): this {
    return this.#opcode(0x51);
  }

  /** An empty dict. */
  dict(): this {
    return this.#opcode(0x7d);
  }

  /** An empty list. */
  list(): this {
    return this.#opcode(0x5d);
  }

  /** `collections.OrderedDict()`. */
  orderedDict(): this {
    return this.global("collections", "OrderedDict")
      .tuple(0, () => {})
      .reduce();
  }

  /** Puts pairs into the dict below: `push` pushes key and value. */
  items<T>(items: Iterable<T>, push: (item: T) => void): this {
    this.#opcode(0x28);
    for (const item of items) push(item);
    return this.#opcode(0x75);
  }

  /** Puts elements into the list below. */
  elements<T>(elements: Iterable<T>, push: (element: T) => void): this {
    this.#opcode(0x28);
    for (const element of elements) push(element);
    return this.#opcode(0x65);
  }

  /** Memoises the object on top as the one that `value` became. */
  remember(value: object): this {
    const index = this.#memo.size;
    this.#memo.set(value, index);
    return this.#indexed(0x71, 0x72, index);
  }

  /** Fetches what `value` became; false when it was not remembered. */
  recall(value: object): boolean {
    const index = this.#memo.get(value);
    if (index !== undefined) this.#indexed(0x68, 0x6a, index);
    return index !== undefined;
  }

  /** The finished pickle. */
  finish(): Uint8Array {
    this.#opcode(0x2e);
    return this.#bytes.subarray(0, this.#length);
  }

  /** Pushes by `push` the first time and memoises; afterwards fetches from the memo. */
  #once(key: string, push: () => void): this {
    const known = this.#memo.get(key);
    if (known !== undefined) return this.#indexed(0x68, 0x6a, known);
    push();
    const index = this.#memo.size;
    this.#memo.set(key, index);
    return this.#indexed(0x71, 0x72, index);
  }

  #indexed(short: number, long: number, index: number): this {
    return index < 256 ? this.#opcode(short).#opcode(index) : this.#fixed(long, 4, (at) => this.#bytes.writeUInt32LE(index, at));
  }

  /** Two's complement, least significant byte first, as short as the sign allows. */
  #long(value: bigint): this {
    let length = 1;
    while (BigInt.asIntN(8 * length, value) !== value) length += 1;
    if (length > 255)
      throw new UsageError("RANKCAST_SAVE_NAME", `an integer of ${length} bytes is too long to save`, { details: { bytes: length } });
    const bytes = Buffer.from(
      BigInt.asUintN(8 * length, value)
        .toString(16)
        .padStart(2 * length, "0"),
      "hex",
    ).reverse();
    return this.#opcode(0x8a).#opcode(length).#append(bytes);
  }

  #fixed(opcode: number, nbytes: number, write: (at: number) => void): this {
    this.#opcode(opcode).#reserve(nbytes);
    write(this.#length);
    this.#length += nbytes;
    return this;
  }

  #opcode(byte: number): this {
    this.#reserve(1);
    this.#bytes[this.#length] = byte;
    this.#length += 1;
    return this;
  }

  #append(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  #reserve(nbytes: number): void {
    if (this.#length + nbytes <= this.#bytes.length) return;
    const grown = Buffer.alloc(Math.max(this.#bytes.length * 2, this.#length + nbytes));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
