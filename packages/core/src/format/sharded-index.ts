/** The index of a sharded model: which file holds which tensor. Layout: `huggingface_hub/serialization/_torch.py`. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { JsonScanner } from "./json-scanner.ts";
import { requireSafePath } from "./sharded-path.ts";
import { nameBytes, pairBytes } from "./table-costs.ts";

/** A parsed index. */
export interface ShardIndex {
  /** Tensor name to file name, in the order of the file; every file name is a plain relative path. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** File names in the order of their first mention. */
  readonly shards: readonly string[];
  /** Plain values of `metadata` as text. `total_size` is advice: writers leave headers out of it, and some write it as text. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Parses an index. `onShard` is told each file name when it is first mentioned, also when parsing then fails.
 * @throws {FormatError} RANKCAST_INDEX_SYNTAX, RANKCAST_UNSAFE_PATH, RANKCAST_LIMIT; names file and byte.
 */
export function parseShardIndex(
  bytes: Uint8Array,
  file: string,
  bounds: Pick<FormatInput, "limits" | "heap">,
  onShard: (name: string) => void = () => undefined,
): ShardIndex {
  return new IndexParser(bytes, file, bounds, onShard).parse();
}

/** As many as a double has at most. */
const NUMBER_CHARACTERS = 24;

class IndexParser {
  readonly #scanner: JsonScanner;
  readonly #file: string;
  readonly #limits: Limits;
  readonly #heap: HeapBudget;
  /** One string object per shard, however many tensors name it. */
  readonly #shards = new Map<string, string>();
  readonly #metadata = new Map<string, string>();
  readonly #onShard: (name: string) => void;
  readonly #weightMap = new Map<string, string>();

  constructor(bytes: Uint8Array, file: string, { limits, heap }: Pick<FormatInput, "limits" | "heap">, onShard: (name: string) => void) {
    this.#onShard = onShard;
    this.#file = file;
    this.#limits = limits;
    this.#heap = heap;
    this.#scanner = new JsonScanner(bytes, { limits, where: file, fail: (_fault, problem, offset) => this.#fail(problem, offset) });
  }

  parse(): ShardIndex {
    const scanner = this.#scanner;
    const seen = new Set<string>();
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (seen.has(name)) this.#fail(`a second ${quote(name)}`, scanner.keyAt);
      seen.add(name);
      this.#heap.charge(nameBytes(scanner.textBytes, 1), this.#file);
      if (name === "weight_map") this.#readMap();
      else if (name === "metadata" && scanner.peek() === "object") this.#readMetadata();
      else scanner.skipValue();
    }
    scanner.end();
    if (!seen.has("weight_map")) this.#fail('no "weight_map"', scanner.at);
    return { weightMap: this.#weightMap, shards: [...this.#shards.keys()], metadata: this.#metadata };
  }

  #readMap(): void {
    const scanner = this.#scanner;
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (this.#weightMap.has(name)) this.#fail(`a second tensor named ${quote(name)}`, scanner.keyAt);
      if (name.length * 3 > this.#limits.indexNameBytes)
        enforceLimit(this.#limits, "indexNameBytes", Buffer.byteLength(name), { file: this.#file, what: "name of a tensor" });
      enforceLimit(this.#limits, "tensors", this.#weightMap.size + 1, { file: this.#file });
      // In the map, in the set of its shard and in the root of the tree.
      this.#heap.charge(nameBytes(scanner.textBytes, 3), this.#file);
      this.#weightMap.set(name, this.#shard(scanner.readString()));
    }
  }

  #shard(name: string): string {
    const known = this.#shards.get(name);
    if (known !== undefined) return known;
    requireSafePath(name, this.#file, this.#limits, this.#scanner.keyAt);
    enforceLimit(this.#limits, "indexShards", this.#shards.size + 1, { file: this.#file });
    this.#shards.set(name, name);
    this.#onShard(name);
    return name;
  }

  #readMetadata(): void {
    const scanner = this.#scanner;
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      const { textBytes } = scanner;
      const kind = scanner.peek();
      if (kind === "string") this.#setMetadata(name, scanner.readString(), textBytes + scanner.textBytes);
      else if (kind === "number") this.#setMetadata(name, String(scanner.readNumber()), textBytes + NUMBER_CHARACTERS);
      else if (kind === "true" || kind === "false") this.#setMetadata(name, String(scanner.readBoolean()), textBytes);
      else scanner.skipValue();
    }
  }

  #setMetadata(name: string, value: string, textBytes: number): void {
    this.#heap.charge(pairBytes(textBytes), this.#file);
    this.#metadata.set(name, value);
  }

  #fail(problem: string, offset: number): never {
    throw new FormatError("RANKCAST_INDEX_SYNTAX", `${this.#file}: ${problem}, at byte ${offset}`, {
      details: { file: this.#file, offset },
    });
  }
}
