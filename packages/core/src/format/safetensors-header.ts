/**
 * The JSON header of a safetensors file. Accepts what the reference accepts (`HashMetadata` and `TensorInfo` in
 * `safetensors/src/tensor.rs`, read by serde_json: a tensor may also be an array, `__metadata__` may be null, unknown fields are ignored),
 * except that equal names are refused: the reference keeps the last one, which hides bytes from whoever looks at the first.
 */
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { ShapeSlots } from "../tensor/shape-slots.ts";
import { JsonScanner } from "./json-scanner.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDType } from "./safetensors-dtype.ts";
import { failSafetensors } from "./safetensors-fault.ts";
import { type HeaderShape, type SafetensorsEntry, SafetensorsTable } from "./safetensors-table.ts";
import { arrayBytes, keyBytes, pairBytes } from "./table-costs.ts";

/** A header that is well formed; its offsets are not yet checked. */
export interface SafetensorsHeader {
  readonly table: SafetensorsTable;
  /** The shapes of the table, and their strides. */
  readonly slots: ShapeSlots;
  readonly metadata: ReadonlyMap<string, string>;
}

/** What the parser needs to know about the file. */
export interface HeaderContext {
  readonly file: string;
  readonly limits: Limits;
  readonly heap: HeapBudget;
}

/** The header starts after its length. */
const HEADER_BEGIN = 8;

/**
 * Reads the header's JSON.
 * @throws {FormatError} RANKCAST_SAFETENSORS_HEADER with variant InvalidHeader or InvalidHeaderDeserialization; RANKCAST_LIMIT.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, context: HeaderContext): SafetensorsHeader {
  return new HeaderParser(bytes, context).parse();
}

class HeaderParser {
  readonly #context: HeaderContext;
  readonly #scanner: JsonScanner;
  readonly #table: SafetensorsTable;
  readonly #slots = new ShapeSlots();
  /** Sizes as they come: an array that grows takes room for seventeen. */
  readonly #sizes: (number | bigint)[] = [];
  #metadata: Map<string, string> | undefined;

  constructor(bytes: Uint8Array, context: HeaderContext) {
    this.#context = context;
    this.#table = new SafetensorsTable(bytes.length, (nbytes) => context.heap.charge(nbytes, context.file));
    this.#scanner = new JsonScanner(bytes, {
      limits: context.limits,
      where: context.file,
      fail: (fault, problem, offset) =>
        failSafetensors({
          file: context.file,
          variant: fault === "encoding" ? "InvalidHeader" : "InvalidHeaderDeserialization",
          problem: `invalid header: ${problem}`,
          offset: HEADER_BEGIN + offset,
        }),
    });
  }

  parse(): SafetensorsHeader {
    const scanner = this.#scanner;
    const { file, limits, heap } = this.#context;
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      const at = scanner.keyAt;
      const { textBytes } = scanner;
      if (name === "__metadata__") {
        if (this.#metadata !== undefined) this.#fail("a second __metadata__", at);
        this.#metadata = this.#readMetadata();
        continue;
      }
      // A string of UTF-8 bytes has at least as many bytes as UTF-16 units; only long names are measured exactly.
      if (name.length * 3 > limits.tensorNameBytes)
        enforceLimit(limits, "tensorNameBytes", Buffer.byteLength(name), { file, what: "name of a tensor" });
      const entry = scanner.peek() === "array" ? this.#readSequence(name, at) : this.#readObject(name, at);
      heap.charge(keyBytes(textBytes) + (this.#slots.made ? arrayBytes(entry.shape.length) : 0), file);
      if (!this.#table.add(entry)) this.#fail(`a second tensor named ${quote(name)}`, at, name);
      if (this.#table.length > limits.tensors) enforceLimit(limits, "tensors", this.#table.length, { file });
    }
    scanner.end();
    return { table: this.#table, slots: this.#slots, metadata: this.#metadata ?? new Map() };
  }

  /** String to string. A name may come twice here (the reference keeps the last): no bytes hang on it. */
  #readMetadata(): Map<string, string> {
    const scanner = this.#scanner;
    const metadata = new Map<string, string>();
    if (scanner.peek() === "null") {
      scanner.readNull();
      return metadata;
    }
    scanner.beginObject();
    for (let key = scanner.nextKey(); key !== null; key = scanner.nextKey()) {
      const { textBytes } = scanner;
      const value = scanner.readString();
      this.#context.heap.charge(pairBytes(textBytes + scanner.textBytes), this.#context.file);
      metadata.set(key, value);
    }
    return metadata;
  }

  #readObject(name: string, at: number): SafetensorsEntry {
    const scanner = this.#scanner;
    let dtype: SafetensorsDType | undefined;
    let shape: HeaderShape | undefined;
    let span: readonly [number | bigint, number | bigint] | undefined;
    scanner.beginObject();
    for (let field = scanner.nextKey(); field !== null; field = scanner.nextKey()) {
      const repeated =
        (field === "dtype" && dtype !== undefined) ||
        (field === "shape" && shape !== undefined) ||
        (field === "data_offsets" && span !== undefined);
      if (repeated) this.#fail(`a second ${field} for ${quote(name)}`, scanner.at, name);
      if (field === "dtype") dtype = this.#readDtype(name);
      else if (field === "shape") shape = this.#readShape(name);
      else if (field === "data_offsets") span = this.#readOffsets(name);
      else scanner.skipValue();
    }
    if (dtype === undefined) return this.#fail(`no dtype for ${quote(name)}`, scanner.at, name);
    if (shape === undefined) return this.#fail(`no shape for ${quote(name)}`, scanner.at, name);
    if (span === undefined) return this.#fail(`no data_offsets for ${quote(name)}`, scanner.at, name);
    return { name, dtype, shape, begin: span[0], end: span[1], at: HEADER_BEGIN + at };
  }

  /** serde reads a struct from a sequence of its fields, too. */
  #readSequence(name: string, at: number): SafetensorsEntry {
    const scanner = this.#scanner;
    scanner.beginArray();
    this.#element(name, "a dtype");
    const dtype = this.#readDtype(name);
    this.#element(name, "a shape");
    const shape = this.#readShape(name);
    this.#element(name, "data_offsets");
    const [begin, end] = this.#readOffsets(name);
    if (scanner.nextElement()) this.#fail(`more than three elements for ${quote(name)}`, scanner.at, name);
    return { name, dtype, shape, begin, end, at: HEADER_BEGIN + at };
  }

  #readDtype(name: string): SafetensorsDType {
    const at = this.#scanner.at;
    const text = this.#scanner.readString();
    return SAFETENSORS_DTYPES.get(text) ?? this.#fail(`unknown dtype ${quote(text)} of ${quote(name)}`, at, name);
  }

  #readShape(name: string): HeaderShape {
    const scanner = this.#scanner;
    const sizes = this.#sizes;
    let rank = 0;
    scanner.beginArray();
    while (scanner.nextElement()) {
      sizes[rank] = scanner.readUnsigned();
      rank += 1;
      if (rank > this.#context.limits.tensorRank)
        enforceLimit(this.#context.limits, "tensorRank", rank, { file: this.#context.file, what: quote(name) });
    }
    return this.#slots.shapeOf(sizes, rank);
  }

  #readOffsets(name: string): readonly [number | bigint, number | bigint] {
    const scanner = this.#scanner;
    scanner.beginArray();
    this.#element(name, "a begin");
    const begin = scanner.readUnsigned();
    this.#element(name, "an end");
    const end = scanner.readUnsigned();
    if (scanner.nextElement()) this.#fail(`more than two data_offsets for ${quote(name)}`, scanner.at, name);
    return [begin, end];
  }

  #element(name: string, what: string): void {
    if (!this.#scanner.nextElement()) this.#fail(`${what} is missing for ${quote(name)}`, this.#scanner.at, name);
  }

  #fail(problem: string, at: number, key?: string): never {
    return failSafetensors({
      file: this.#context.file,
      variant: "InvalidHeaderDeserialization",
      problem: `invalid header: ${problem}`,
      offset: HEADER_BEGIN + at,
      ...(key === undefined ? {} : { key }),
    });
  }
}
