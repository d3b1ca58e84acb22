/**
 * What a safetensors header says of its tensors, in columns. Files of very many tiny tensors have more of this than of anything else, and with an
 * object per row, and an array per shape, it would be as large again as the tensors that are made of it.
 */
import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import { letGo } from "../source/let-go.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDType } from "./safetensors-dtype.ts";

/** Sizes as a header writes them: unsigned 64-bit; a bigint is above 2^53-1. */
export type HeaderShape = readonly (number | bigint)[];

/** One tensor as the header states it. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: HeaderShape;
  /** First byte, from the start of the tensor data; a bigint is above 2^53-1. */
  readonly begin: number | bigint;
  readonly end: number | bigint;
  /** Where the entry stands in the file, for messages. */
  readonly at: number;
}

/** Bytes of a header per tensor, name included: what it has room for at first. */
const ROW_TEXT_BYTES = 56;
/** Heap of a row of all columns. */
const COLUMNS_BYTES = 29;
const NO_SHAPE: HeaderShape = [];
const DTYPES: readonly SafetensorsDType[] = [...SAFETENSORS_DTYPES.values()];

/** See the module. Rows are in the order of the header; no two have one name. */
export class SafetensorsTable {
  /** The names in order, with room for what each becomes. */
  readonly names: Map<string, TreeValue> = new Map();
  private count = 0;
  private dtypes: Uint8Array;
  private shapes: HeaderShape[];
  /** Begin and end of each row. */
  private spans: Float64Array;
  private places: Uint32Array;
  /** Ends of spans that no double holds, by their place among `spans`. */
  private readonly wide: Map<number, bigint> = new Map();

  private readonly charge: (nbytes: number) => void;

  /** `headerBytes` of text are to be read. The columns are charged as heap, names and shapes by whoever makes them. */
  constructor(headerBytes: number, charge: (nbytes: number) => void) {
    const rows = Math.ceil(headerBytes / ROW_TEXT_BYTES);
    this.charge = charge;
    charge(COLUMNS_BYTES * rows);
    this.dtypes = new Uint8Array(rows);
    this.shapes = new Array<HeaderShape>(rows).fill(NO_SHAPE);
    this.spans = new Float64Array(2 * rows);
    this.places = new Uint32Array(rows);
  }

  get length(): number {
    return this.count;
  }

  /** Adds a row; false when there is one of this name. */
  add({ name, dtype, shape, begin, end, at }: SafetensorsEntry): boolean {
    const row = this.length;
    if (row === this.places.length) this.grow();
    this.count += 1;
    this.dtypes[row] = DTYPES.indexOf(dtype);
    this.shapes[row] = shape;
    this.put(2 * row, begin);
    this.put(2 * row + 1, end);
    this.places[row] = at;
    this.names.set(name, null);
    // A table that did not grow had the name already; asking it first would hash every name twice.
    return this.names.size > row;
  }

  dtype(row: number): SafetensorsDType {
    return DTYPES[this.dtypes[row] as number] as SafetensorsDType;
  }

  shape(row: number): HeaderShape {
    return this.shapes[row] as HeaderShape;
  }

  begin(row: number): number | bigint {
    return this.take(2 * row);
  }

  end(row: number): number | bigint {
    return this.take(2 * row + 1);
  }

  /** The row as an object. Looking for its name takes time, so whoever walks all rows gives it. */
  entry(row: number, name: string = this.nameOf(row)): SafetensorsEntry {
    return {
      name,
      dtype: this.dtype(row),
      shape: this.shape(row),
      begin: this.begin(row),
      end: this.end(row),
      at: this.places[row] as number,
    };
  }

  /** Frees the columns; only the names may be looked at from then on. */
  letGo(): void {
    this.shapes = [];
    for (const column of [this.dtypes, this.spans, this.places]) letGo(column);
  }

  private nameOf(row: number): string {
    let at = 0;
    for (const name of this.names.keys()) {
      if (at === row) return name;
      at += 1;
    }
    throw new RangeError(`row ${row} of ${this.length}`);
  }

  private put(at: number, value: number | bigint): void {
    if (typeof value === "bigint") this.wide.set(at, value);
    this.spans[at] = Number(value);
  }

  private take(at: number): number | bigint {
    const value = this.spans[at] as number;
    return value <= Number.MAX_SAFE_INTEGER ? value : (this.wide.get(at) ?? value);
  }

  private grow(): void {
    const { dtypes, shapes, spans, places } = this;
    const rows = 2 * places.length + 64;
    this.charge(COLUMNS_BYTES * rows);
    this.dtypes = new Uint8Array(rows);
    this.dtypes.set(dtypes);
    this.shapes = shapes.concat(new Array<HeaderShape>(rows - shapes.length).fill(NO_SHAPE));
    this.spans = new Float64Array(2 * rows);
    this.spans.set(spans);
    this.places = new Uint32Array(rows);
    this.places.set(places);
  }
}
