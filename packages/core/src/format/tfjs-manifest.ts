/** The weight manifest of a TensorFlow.js model. Source: `tfjs-core/src/io/types.ts` and `io_utils.ts`. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { ELEMENT_BYTES } from "../pickle/heap-costs.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { JsonScanner } from "./json-scanner.ts";
import { requireSafePath } from "./sharded-path.ts";
import { nameBytes, pairBytes, rowBytes } from "./table-costs.ts";

/** One weight as the manifest states it. */
export interface TfjsWeight {
  readonly name: string;
  readonly shape: readonly number[];
  /** `float32`, `int32`, `bool`, `string`, `complex64`, … */
  readonly dtype: string;
  /** Type of the stored values when they are quantised: `uint8`, `uint16`, `float16`. */
  readonly quantisedAs: string | null;
  /** Where the entry stands in the file, for messages. */
  readonly at: number;
}

/** Weights one after the other in the concatenation of some files. */
export interface TfjsGroup {
  readonly paths: readonly string[];
  readonly weights: readonly TfjsWeight[];
}

/** What the reader needs of `model.json`. */
export interface TfjsManifest {
  readonly groups: readonly TfjsGroup[];
  /** `format`, `generatedBy`, `convertedBy`. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Parses a `model.json`; everything but the weight manifest is only checked to be JSON.
 * @throws {FormatError} RANKCAST_INDEX_SYNTAX, RANKCAST_UNSAFE_PATH, RANKCAST_LIMIT; names file and byte.
 */
export function parseTfjsManifest(bytes: Uint8Array, file: string, bounds: Pick<FormatInput, "limits" | "heap">): TfjsManifest {
  return new ManifestParser(bytes, file, bounds).parse();
}

/** A group with its two lists. */
const GROUP_BYTES = 160;

class ManifestParser {
  readonly #scanner: JsonScanner;
  readonly #file: string;
  readonly #limits: Limits;
  readonly #heap: HeapBudget;
  readonly #names = new Set<string>();
  readonly #paths = new Set<string>();

  constructor(bytes: Uint8Array, file: string, { limits, heap }: Pick<FormatInput, "limits" | "heap">) {
    this.#file = file;
    this.#limits = limits;
    this.#heap = heap;
    this.#scanner = new JsonScanner(bytes, { limits, where: file, fail: (_fault, problem, offset) => this.#fail(problem, offset) });
  }

  parse(): TfjsManifest {
    const scanner = this.#scanner;
    const metadata = new Map<string, string>();
    let groups: TfjsGroup[] | undefined;
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (name === "weightsManifest") {
        if (groups !== undefined) this.#fail('a second "weightsManifest"', scanner.keyAt);
        groups = this.#list(() => this.#readGroup());
      } else if (scanner.peek() === "string") {
        const { textBytes } = scanner;
        const value = scanner.readString();
        this.#heap.charge(pairBytes(textBytes + scanner.textBytes), this.#file);
        metadata.set(name, value);
      } else scanner.skipValue();
    }
    scanner.end();
    if (groups === undefined) return this.#fail('no "weightsManifest"', scanner.at);
    return { groups, metadata };
  }

  #readGroup(): TfjsGroup {
    const scanner = this.#scanner;
    const { at } = scanner;
    let paths: string[] | undefined;
    let weights: TfjsWeight[] | undefined;
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (name === "paths") paths = this.#list(() => this.#readPath());
      else if (name === "weights") weights = this.#list(() => this.#readWeight());
      else scanner.skipValue();
    }
    if (paths === undefined || weights === undefined) return this.#fail('a group without "paths" or "weights"', at);
    this.#heap.charge(GROUP_BYTES, this.#file);
    return { paths, weights };
  }

  #readPath(): string {
    const { at } = this.#scanner;
    const path = requireSafePath(this.#scanner.readString(), this.#file, this.#limits, this.#scanner.at);
    // Each file belongs to one place of one group; naming it again and again would make a small download fill any memory.
    if (this.#paths.has(path)) this.#fail(`a second mention of ${quote(path)}`, at);
    this.#paths.add(path);
    this.#heap.charge(nameBytes(2 * path.length, 3), this.#file);
    enforceLimit(this.#limits, "indexShards", this.#paths.size, { file: this.#file });
    return path;
  }

  #readWeight(): TfjsWeight {
    const scanner = this.#scanner;
    const { at } = scanner;
    let name: string | undefined;
    let shape: number[] | undefined;
    let dtype: string | undefined;
    let quantisedAs: string | null = null;
    scanner.beginObject();
    for (let field = scanner.nextKey(); field !== null; field = scanner.nextKey()) {
      if (field === "name") name = scanner.readString();
      else if (field === "dtype") dtype = scanner.readString();
      else if (field === "shape") shape = this.#list(() => scanner.readInteger());
      else if (field === "quantization" && scanner.peek() === "object") quantisedAs = this.#readQuantisation();
      else scanner.skipValue();
    }
    if (name === undefined || shape === undefined || dtype === undefined) return this.#fail("a weight without name, shape or dtype", at);
    if (this.#names.has(name)) this.#fail(`a second weight named ${quote(name)}`, at);
    this.#names.add(name);
    this.#heap.charge(rowBytes(2 * name.length, shape.length), this.#file);
    enforceLimit(this.#limits, "tensors", this.#names.size, { file: this.#file });
    enforceLimit(this.#limits, "tensorRank", shape.length, { file: this.#file, what: quote(name) });
    return { name, shape, dtype, quantisedAs, at };
  }

  #readQuantisation(): string {
    const scanner = this.#scanner;
    let dtype = "unknown";
    scanner.beginObject();
    for (let field = scanner.nextKey(); field !== null; field = scanner.nextKey()) {
      if (field === "dtype") dtype = scanner.readString();
      else scanner.skipValue();
    }
    return dtype;
  }

  #list<T>(read: () => T): T[] {
    const elements: T[] = [];
    this.#scanner.beginArray();
    while (this.#scanner.nextElement()) {
      this.#heap.charge(ELEMENT_BYTES, this.#file);
      elements.push(read());
    }
    // An array that grew has room for more.
    return elements.slice();
  }

  #fail(problem: string, offset: number): never {
    throw new FormatError("RANKCAST_INDEX_SYNTAX", `${this.#file}: ${problem}, at byte ${offset}`, {
      details: { file: this.#file, offset },
    });
  }
}
