/**
 * Waist 1, input side: what a checkpoint file says, as plain values. Every format produces this; nothing here was executed, and
 * nothing here is a name that could be looked up as code.
 */

import type { ByteSource } from "../source/byte-source.ts";
import type { StorageRef } from "./storage-ref.ts";
import type { TensorRef } from "./tensor-ref.ts";

export { type SourceMove, StorageRef, type StorageTraits } from "./storage-ref.ts";
export { type Quantisation, TensorRef } from "./tensor-ref.ts";

/** Bytes of a file. */
export interface RangeExtent {
  readonly type: "range";
  /** Index into the tree's `sources`. */
  readonly source: number;
  readonly offset: number;
  /** Bytes in the file; equals the piece's length unless deflated. */
  readonly storedBytes: number;
  readonly encoding: "stored" | "deflate";
  /** CRC-32 of the decoded bytes, null when the writer left it out. */
  readonly crc32: number | null;
  /** Name of the record inside the container, for messages. */
  readonly record?: string;
}

/** Where bytes of a storage come from. */
export type StorageExtent = RangeExtent | { readonly type: "inline"; readonly bytes: Uint8Array };

/**
 * A run of a storage's bytes. Most storages have one piece that covers them. `rectangle` pieces (distributed checkpoints) are a dense
 * row-major block that goes to a sub-rectangle of the tensor that fills the storage.
 */
export interface StoragePiece {
  /** First byte in the storage (0 for rectangle pieces). */
  readonly at: number;
  /** Decoded bytes of the piece. */
  readonly nbytes: number;
  readonly extent: StorageExtent;
  readonly rectangle?: {
    readonly shape: readonly number[];
    readonly offsets: readonly number[];
    readonly sizes: readonly number[];
    readonly itemBytes: number;
  };
}

/** A sparse tensor: its parts are ordinary tensors. */
export class SparseRef {
  readonly kind = "sparse" as const;
  readonly layout: "coo" | "csr" | "csc" | "bsr" | "bsc";
  readonly shape: readonly number[];
  /** Part name (`indices`, `values`, `crow_indices`, …) to tensor, in torch's order. */
  readonly parts: ReadonlyMap<string, TensorRef>;
  /** COO only: whether torch marked it coalesced. */
  readonly coalesced: boolean;

  constructor(
    layout: "coo" | "csr" | "csc" | "bsr" | "bsc",
    shape: readonly number[],
    parts: ReadonlyMap<string, TensorRef>,
    coalesced = false,
  ) {
    this.layout = layout;
    this.shape = shape;
    this.parts = parts;
    this.coalesced = coalesced;
  }
}

/** An object of a class we do not know, or a call that was asked for: kept, never run. */
export class OpaqueValue {
  readonly kind = "opaque" as const;
  /** `module.name` of the class or function, as the file spells it after Python 2 renames. */
  readonly global: string;
  /** Whether the name is one that attacks use (`os.system`, `builtins.eval`, …): reported, still inert. */
  readonly dangerous: boolean;
  readonly args: readonly TreeValue[];
  /** State given by BUILD, or null. May be filled after creation (cycles are legal). */
  state: TreeValue;
  /** Entries and elements added by SETITEM(S) and APPEND(S). */
  readonly entries: [TreeValue, TreeValue][] = [];
  readonly elements: TreeValue[] = [];

  constructor(global: string, args: readonly TreeValue[], dangerous = false, state: TreeValue = null) {
    this.global = global;
    this.args = args;
    this.dangerous = dangerous;
    this.state = state;
  }
}

/** A Python complex number. */
export class ComplexValue {
  readonly kind = "complex" as const;
  readonly re: number;
  readonly im: number;
  constructor(re: number, im: number) {
    this.re = re;
    this.im = im;
  }
}

/** Keys a dict may have: hashing anything deeper is an attack, not a checkpoint. Objects of unknown classes are keys by identity. */
export type TreeKey = string | number | bigint | boolean | null | KeyTuple | Uint8Array | OpaqueValue;
/** One element of a tuple that is a dict key. */
export type KeyPart = string | number | bigint | boolean | null | KeyTuple;
/** A tuple used as dict key. Compare by `text`, which is equal exactly when Python's `==` on the tuples is (`True == 1`). */
export class KeyTuple {
  readonly kind = "key-tuple" as const;
  readonly parts: readonly KeyPart[];
  readonly text: string;
  constructor(parts: readonly KeyPart[]) {
    this.parts = parts;
    this.text = JSON.stringify(parts.map(describePart));
  }
}

function describePart(part: KeyPart): [string, string] {
  if (typeof part === "object") return part === null ? ["null", ""] : ["tuple", part.text];
  if (typeof part === "string") return ["text", part];
  if (typeof part === "bigint") return ["number", String(part)];
  return ["number", Number.isInteger(part) ? String(BigInt(part)) : String(Number(part))];
}

/** A Python dict (or OrderedDict, defaultdict, Counter). Ordered; later writes of a key keep its first position, as in Python. */
export class TreeDict {
  readonly kind = "dict" as const;
  /** Class of the dict: `dict`, `OrderedDict`, … */
  readonly type: string;
  private filled: Map<TreeKey, TreeValue> | null;
  /** Attributes set by BUILD, `_metadata` among them; null for plain dicts. */
  attributes: TreeDict | null = null;
  /** `entries`: those that it begins with; they are its own from then on. */
  constructor(type = "dict", entries: Map<TreeKey, TreeValue> | null = null) {
    this.type = type;
    this.filled = entries;
  }

  /** Made when it is first asked for: torch gives every tensor an empty dict of hooks, and an empty Map costs more than the tensor. */
  get entries(): Map<TreeKey, TreeValue> {
    this.filled ??= new Map();
    return this.filled;
  }

  /** Number of entries. */
  get size(): number {
    return this.filled === null ? 0 : this.filled.size;
  }
}

/** A Python sequence or set; `type` tells which. */
export class TreeList {
  readonly kind = "list" as const;
  readonly type: "list" | "tuple" | "set" | "frozenset" | "deque" | "Size";
  readonly elements: TreeValue[];
  /** While a pickle is read: something else than the place it was made for may hold it. */
  kept = false;
  constructor(type: "list" | "tuple" | "set" | "frozenset" | "deque" | "Size", elements: TreeValue[] = []) {
    this.type = type;
    this.elements = elements;
  }
}

/** Anything a checkpoint can hold. */
export type TreeValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | ComplexValue
  | TreeDict
  | TreeList
  | TensorRef
  | SparseRef
  | StorageRef
  | OpaqueValue;

/** Something a reader noticed that is no error. `code` is stable kebab-case. */
export interface Warning {
  readonly code: string;
  readonly message: string;
}

/** A decoded checkpoint without its tensor bytes. */
export interface CheckpointTree {
  /** Name of the format: `torch-zip`, `torch-legacy`, `torch-tar`, `pickle`, `safetensors`, `sharded`, `dcp`, `npz` (a lone array too), `tfjs`, `gguf`, `zero`. */
  readonly format: string;
  readonly root: TreeValue;
  /** The files that extents point into. Owned by whoever opened the checkpoint. */
  readonly sources: readonly ByteSource[];
  /** Whether stored checksums cover all tensor bytes (`present`), none exist (`absent`). */
  readonly checksums: "present" | "partial" | "absent";
  /** String metadata of the container (`__metadata__` of safetensors, GGUF keys). */
  readonly fileMetadata: ReadonlyMap<string, string>;
  readonly warnings: readonly Warning[];
  /** Estimated heap of all this; listing it has what that leaves. */
  readonly heapBytes?: number;
  /** Set when only the beginning of the file was here and the rest of the tree was computed from it. */
  readonly arriving?: ArrivingTree;
}

/** How a tree that was computed from the beginning of a file is proved. */
export interface ArrivingTree {
  /** Checks the place of an extent against the bytes around its record, and adds the record's checksum where the extent is all of it. @throws {FormatError}. */
  prove(extent: RangeExtent): Promise<RangeExtent>;
  /**
   * The same tree (same storages) as the complete file proves it; null when the complete file says something else and must be read.
   * @throws {FormatError} when the complete file is refused.
   */
  confirm(): Promise<CheckpointTree | null>;
}
