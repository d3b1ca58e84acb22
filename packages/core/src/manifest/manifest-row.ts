/** Reads decoded rows field by field; everything unexpected is refused with its place. */
import { FormatError } from "../errors/checkpoint-error.ts";
import type { PlainValue } from "./manifest.ts";
import { textFromRow } from "./manifest-text.ts";

/** A cursor over one row. Each method takes the next field. All throw {FormatError} RANKCAST_MANIFEST_MALFORMED. */
export class RowReader {
  readonly #fields: readonly unknown[];
  // Put together only when something is refused: there may be a million rows.
  readonly #where: () => string;
  #at = 0;

  constructor(row: unknown, where: () => string) {
    this.#where = where;
    this.#fields = Array.isArray(row) ? row : [];
    if (!Array.isArray(row)) throw this.malformed("expected a row");
  }

  /** The error of this place. */
  malformed(text: string): FormatError {
    const where = this.#where();
    return new FormatError("RANKCAST_MANIFEST_MALFORMED", `${where}, field ${this.#at}: ${text}`, { details: { where, field: this.#at } });
  }

  #next(): unknown {
    this.#at += 1;
    return this.#fields[this.#at - 1];
  }

  /** Whole number from 0 to 2^53-1. */
  count(): number {
    const value = this.#next();
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw this.malformed("expected a count");
  }

  /** Any number. */
  number(): number {
    const value = this.#next();
    if (typeof value === "number") return value;
    throw this.malformed("expected a number");
  }

  text(): string {
    const text = textFromRow(this.#next());
    if (text !== null) return text;
    throw this.malformed("expected text");
  }

  flag(): boolean {
    const value = this.#next();
    if (typeof value === "boolean") return value;
    throw this.malformed("expected true or false");
  }

  bytes(): Uint8Array {
    const value = this.#next();
    if (value instanceof Uint8Array) return value;
    throw this.malformed("expected bytes");
  }

  plain(): PlainValue {
    const value = this.#next();
    if (value === null || typeof value === "number" || typeof value === "boolean") return value;
    const text = textFromRow(value);
    if (text !== null) return text;
    throw this.malformed("expected a plain value");
  }

  /** A plain value, or a list of one count. */
  oneOrPlain(): PlainValue | readonly [number] {
    const value = this.#fields[this.#at];
    if (!Array.isArray(value)) return this.plain();
    const [count, ...others] = this.counts();
    if (count === undefined || others.length > 0) throw this.malformed("expected one count");
    return [count];
  }

  oneOf<const Value extends string | number>(values: readonly Value[]): Value {
    const value = this.#next();
    const found = values.find((each) => each === value);
    if (found !== undefined) return found;
    throw this.malformed(`expected one of ${values.join(", ")}`);
  }

  /** The next field by `read`, or undefined when it is null. */
  optional<Value>(read: (row: RowReader) => Value): Value | undefined {
    if (this.#fields[this.#at] !== null) return read(this);
    this.#at += 1;
    return undefined;
  }

  /** A list of counts. */
  counts(): number[] {
    const value = this.#next();
    if (Array.isArray(value) && value.every((each) => Number.isSafeInteger(each) && (each as number) >= 0)) return value as number[];
    throw this.malformed("expected a list of counts");
  }

  /** A list of any numbers. */
  numbers(): number[] {
    const value = this.#next();
    if (Array.isArray(value) && value.every((each) => typeof each === "number")) return value as number[];
    throw this.malformed("expected a list of numbers");
  }

  /** A list of fields, each read by `read`. */
  each<Value>(read: (row: RowReader) => Value): Value[] {
    return this.row((list) => {
      const values: Value[] = [];
      while (!list.isAtEnd) values.push(read(list));
      return values;
    });
  }

  /** Whether every field was read. */
  get isAtEnd(): boolean {
    return this.#at >= this.#fields.length;
  }

  /** A row inside this one. */
  row<Value>(read: (row: RowReader) => Value): Value {
    const row = new RowReader(this.#next(), () => `${this.#where()}.${this.#at - 1}`);
    const value = read(row);
    row.end();
    return value;
  }

  /** A list of rows. */
  rows<Value>(read: (row: RowReader) => Value): Value[] {
    const list = this.#next();
    if (!Array.isArray(list)) throw this.malformed("expected a list of rows");
    return list.map((each: unknown, index) => {
      const row = new RowReader(each, () => `${this.#where()}.${this.#at - 1}.${index}`);
      const value = read(row);
      row.end();
      return value;
    });
  }

  /** Refuses fields that nobody read. */
  end(): void {
    if (this.#at !== this.#fields.length) throw this.malformed(`${this.#fields.length} fields`);
  }
}
