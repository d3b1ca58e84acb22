/**
 * Waist 1, input side: what a checkpoint file says, as plain values. Every format produces this; nothing here was executed, and
 * nothing here is a name that could be looked up as code.
 */

import type { ByteSource } from "../source/byte-source.ts";
import type { DType } from "../tensor/dtype.ts";
import { isRecord, piecesOf, type StorageRecord } from "./storage-record.ts";

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

/** A storage before its bytes are read. Identity matters: tensors that share the object alias each other. */
export class StorageRef {
  readonly kind = "storage" as const;
  readonly nbytes: number;
  protected placed: readonly StoragePiece[] | StorageRecord;
  /** Bytes that must be swapped together after reading; 1 = none (the file is little-endian). */
  readonly swapBytes: 1 | 2 | 4 | 8;
  readonly savedDevice: string;
  readonly meta: boolean;
  /** Key in the file, for messages. */
  readonly key: string;

  constructor(parts: {
    nbytes: number;
    pieces: readonly StoragePiece[] | StorageRecord;
    swapBytes?: 1 | 2 | 4 | 8;
    savedDevice?: string;
    meta?: boolean;
    key?: string;
  }) {
    this.nbytes = parts.nbytes;
    this.placed = parts.pieces;
    this.swapBytes = parts.swapBytes ?? 1;
    this.savedDevice = parts.savedDevice ?? "cpu";
    this.meta = parts.meta ?? false;
    this.key = parts.key ?? "";
  }

  /** Whether `pieces` are made whenever they are asked for, and so are new objects in every description. */
  get makesPieces(): boolean {
    return this.nbytes > 0 && isRecord(this.placed);
  }

  /** Empty for a meta storage (size known, no bytes) and for storages of 0 bytes. */
  get pieces(): readonly StoragePiece[] {
    return isRecord(this.placed) ? piecesOf(this.placed) : this.placed;
  }
}

/** Scale and zero point of a quantised tensor; per channel when `axis` is set. */
export interface Quantisation {
  readonly scheme: string;
  readonly scale: number | TensorRef;
  readonly zeroPoint: number | TensorRef;
  readonly axis?: number;
}

/** A tensor before its bytes are read: a view of a storage, in elements. */
export class TensorRef {
  readonly kind = "tensor" as const;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: StorageRef;
  readonly requiresGrad: boolean;
  readonly conj: boolean;
  readonly neg: boolean;
  readonly quantisation: Quantisation | undefined;
  /** `torch.nn.Parameter`s, numpy arrays and tensors differ for reports only. */
  readonly origin: "tensor" | "parameter" | "numpy";

  constructor(parts: {
    dtype: DType;
    shape: readonly number[];
    stride: readonly number[];
    storageOffset: number;
    storage: StorageRef;
    requiresGrad?: boolean;
    conj?: boolean;
    neg?: boolean;
    quantisation?: Quantisation | undefined;
    origin?: "tensor" | "parameter" | "numpy";
  }) {
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.stride = parts.stride;
    this.storageOffset = parts.storageOffset;
    this.storage = parts.storage;
    this.requiresGrad = parts.requiresGrad ?? false;
    this.conj = parts.conj ?? false;
    this.neg = parts.neg ?? false;
    this.quantisation = parts.quantisation;
    this.origin = parts.origin ?? "tensor";
  }
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
  private filled: Map<TreeKey, TreeValue> | null = null;
  /** Attributes set by BUILD, `_metadata` among them; null for plain dicts. */
  attributes: TreeDict | null = null;
  constructor(type = "dict") {
    this.type = type;
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
