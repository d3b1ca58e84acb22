/**
 * The `.metadata` file of a distributed checkpoint: a plain pickle of `torch.distributed.checkpoint.metadata.Metadata`. torch runs it; here its
 * classes are unknown to the pickle machine, so every instance arrives as an inert value with its fields, and only the expected ones are read.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import { OpaqueValue, TreeDict, TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { countOf } from "../pickle/call-arguments.ts";
import { ELEMENT_BYTES, FIXED_ELEMENT_BYTES } from "../pickle/heap-costs.ts";
import { dtypeNamed } from "../pickle/torch-names.ts";
import type { DType } from "../tensor/dtype.ts";
import { requireSafePath } from "./sharded-path.ts";

/** Bytes of one item in a data file: a whole torch archive. */
export interface DcpSlice {
  /** Relative path of the data file, proved harmless. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** A part of a tensor, and where it is. */
export interface DcpPart {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  readonly slice: DcpSlice;
}

/** One entry of the checkpoint: a tensor in parts, or a pickled value. */
export type DcpItem =
  | {
      readonly type: "tensor";
      readonly name: string;
      readonly dtype: DType | null;
      readonly shape: readonly number[];
      readonly parts: readonly DcpPart[];
    }
  | { readonly type: "value"; readonly name: string; readonly slice: DcpSlice };

/** The described checkpoint. */
export interface DcpMetadata {
  readonly items: readonly DcpItem[];
  /** Name to its place in the saved object, for names that were joined from such a path. */
  readonly paths: ReadonlyMap<string, readonly (string | number)[]>;
  readonly version: string | null;
}

/** Heap of what is made of the metadata: an item with its path and leaf, a part, an entry of the table of slices, the first one with its table. */
const ITEM_BYTES = 320;
const PART_BYTES = 320;
const SLICE_BYTES = 180;
const FIRST_SLICE_BYTES = 480;
const PATH_BYTES = 240;

const MODULE = "torch.distributed.checkpoint.metadata";

/**
 * Reads the unpickled content of `.metadata`.
 * @throws {FormatError} RANKCAST_DCP_METADATA, RANKCAST_UNSAFE_PATH, RANKCAST_UNSUPPORTED for transformed items, RANKCAST_LIMIT.
 */
export function parseDcpMetadata(
  root: TreeValue,
  file: string,
  limits: Limits,
  charge: (nbytes: number) => void = () => undefined,
): DcpMetadata {
  return new MetadataParser(file, limits, charge).parse(root);
}

class MetadataParser {
  readonly #file: string;
  readonly #limits: Limits;
  readonly #charge: (nbytes: number) => void;
  /** Name, then offsets as text. */
  readonly #slices = new Map<string, Map<string, DcpSlice>>();
  #parts = 0;

  constructor(file: string, limits: Limits, charge: (nbytes: number) => void) {
    this.#file = file;
    this.#limits = limits;
    this.#charge = charge;
  }

  parse(root: TreeValue): DcpMetadata {
    const fields = this.#fields(root, `${MODULE}.Metadata`, "the checkpoint's description");
    const described = this.#dict(fields.entries.get("state_dict_metadata"), "state_dict_metadata");
    for (const [index, info] of this.#dict(fields.entries.get("storage_data"), "storage_data").entries)
      this.#addSlice(index as TreeValue, info);
    const items: DcpItem[] = [];
    for (const [name, value] of described.entries) {
      if (typeof name !== "string") return this.#fail("a name is no text");
      enforceLimit(this.#limits, "tensors", items.length + 1, { file: this.#file });
      this.#charge(ITEM_BYTES);
      items.push(this.#item(name, value));
    }
    const version = fields.entries.get("version");
    return { items, paths: this.#paths(fields.entries.get("planner_data")), version: typeof version === "string" ? version : null };
  }

  #item(name: string, value: TreeValue): DcpItem {
    if (value instanceof OpaqueValue && value.global === `${MODULE}.BytesStorageMetadata`)
      return { type: "value", name, slice: this.#sliceOf(name, "") };
    const { entries } = this.#fields(value, `${MODULE}.TensorStorageMetadata`, quote(name));
    const shape = this.#sizes(entries.get("size"), `the size of ${quote(name)}`);
    enforceLimit(this.#limits, "tensorRank", shape.length, { file: this.#file, what: quote(name) });
    const chunks = entries.get("chunks");
    if (!(chunks instanceof TreeList)) return this.#fail(`${quote(name)} has no list of chunks`);
    const parts = chunks.elements.map((chunk) => this.#part(name, chunk));
    return { type: "tensor", name, dtype: this.#dtype(entries.get("properties")), shape, parts };
  }

  #part(name: string, chunk: TreeValue): DcpPart {
    this.#parts += 1;
    enforceLimit(this.#limits, "dcpChunks", this.#parts, { file: this.#file });
    this.#charge(PART_BYTES);
    const { entries } = this.#fields(chunk, `${MODULE}.ChunkStorageMetadata`, `a chunk of ${quote(name)}`);
    const offsets = this.#sizes(entries.get("offsets"), `a chunk's place in ${quote(name)}`);
    const sizes = this.#sizes(entries.get("sizes"), `a chunk's size in ${quote(name)}`);
    return { offsets, sizes, slice: this.#sliceOf(name, offsets.join()) };
  }

  /** Properties are a tuple since torch 2.1, a dict of fields before. */
  #dtype(properties: TreeValue | undefined): DType | null {
    const state = properties instanceof OpaqueValue ? properties.state : null;
    if (state instanceof TreeList) return dtypeNamed(state.elements[0]);
    return state instanceof TreeDict ? dtypeNamed(state.entries.get("dtype")) : null;
  }

  #addSlice(index: TreeValue, info: TreeValue): void {
    const key = this.#fields(index, `${MODULE}.MetadataIndex`, "a key of storage_data").entries;
    const name = key.get("fqn");
    if (typeof name !== "string") this.#fail("a key of storage_data has no name");
    const offset = key.get("offset") ?? null;
    const place = offset === null ? "" : this.#sizes(offset, `a key of ${quote(name)}`).join();
    const slices = this.#slices.get(name) ?? new Map<string, DcpSlice>();
    this.#slices.set(name, slices);
    if (slices.has(place)) this.#fail(`two items for ${quote(name)} at [${place}]`);
    this.#charge(slices.size === 0 ? FIRST_SLICE_BYTES : SLICE_BYTES);
    slices.set(place, this.#slice(name, info));
  }

  #slice(name: string, info: TreeValue): DcpSlice {
    const { entries } = this.#fields(info, "torch.distributed.checkpoint.filesystem._StorageInfo", `the item of ${quote(name)}`);
    const path = entries.get("relative_path");
    const offset = countOf(entries.get("offset"));
    const length = countOf(entries.get("length"));
    if (typeof path !== "string" || offset === null || length === null)
      return this.#fail(`the item of ${quote(name)} has no path, offset or length`);
    const transforms = entries.get("transform_descriptors");
    if (transforms instanceof TreeList ? transforms.elements.length > 0 : transforms !== undefined && transforms !== null)
      throw new FormatError(
        "RANKCAST_UNSUPPORTED",
        `${printable(this.#file)}: the item of ${quote(name)} was transformed when it was saved`,
        {
          details: { file: this.#file, key: name, feature: "transform_descriptors" },
          remedy: "Save the checkpoint without storage extensions (compression, for example).",
        },
      );
    return { path: requireSafePath(path, this.#file, this.#limits), offset, length };
  }

  /** The item of a name at a place; one without offset belongs to a value, or to a tensor that is one chunk. */
  #sliceOf(name: string, place: string): DcpSlice {
    const slices = this.#slices.get(name);
    return slices?.get(place) ?? slices?.get("") ?? this.#fail(`no item for ${quote(name)}${place === "" ? "" : ` at [${place}]`}`);
  }

  #paths(planner: TreeValue | undefined): Map<string, readonly (string | number)[]> {
    const paths = new Map<string, readonly (string | number)[]>();
    if (!(planner instanceof TreeDict)) return paths;
    for (const [name, path] of planner.entries) {
      if (typeof name !== "string" || !(path instanceof TreeList)) continue;
      enforceLimit(this.#limits, "treeDepth", path.elements.length, { file: this.#file, what: `path of ${quote(name)}` });
      const steps = path.elements.filter((step): step is string | number => typeof step === "string" || countOf(step) !== null);
      if (steps.length === path.elements.length && steps.length > 0) {
        this.#charge(PATH_BYTES + 2 * ELEMENT_BYTES * steps.length);
        paths.set(name, steps);
      }
    }
    return paths;
  }

  /** Fields of an instance of one class; a dataclass without fields set has none. */
  #fields(value: TreeValue, global: string, what: string): TreeDict {
    if (!(value instanceof OpaqueValue) || value.global !== global) return this.#fail(`${what} is no ${global}`);
    if (value.state === null) return new TreeDict();
    return value.state instanceof TreeDict ? value.state : this.#fail(`${what} has no fields`);
  }

  #dict(value: TreeValue | undefined, what: string): TreeDict {
    return value instanceof TreeDict ? value : this.#fail(`${what} is no dict`);
  }

  #sizes(value: TreeValue | undefined, what: string): number[] {
    if (!(value instanceof TreeList)) return this.#fail(`${what} is no list of numbers`);
    this.#charge(FIXED_ELEMENT_BYTES * value.elements.length);
    return value.elements.map((each) => countOf(each) ?? this.#fail(`${what} holds something else than whole numbers from 0 on`));
  }

  #fail(problem: string): never {
    throw new FormatError("RANKCAST_DCP_METADATA", `${printable(this.#file)}: ${problem}`, { details: { file: this.#file } });
  }
}
