/** Storages as torch's pickles name them: bytes with an element type, or a window of such bytes. */
import { type StoragePiece, StorageRef } from "../manifest/checkpoint-tree.ts";
import type { StorageRecord } from "../manifest/storage-record.ts";
import type { DType } from "../tensor/dtype.ts";
import { traitsOf } from "../tensor/dtype.ts";
import type { PickleCall } from "./known-global.ts";
import { Unsettled } from "./unsettled.ts";

/** What a tensor is a view of. */
export interface StorageWindow {
  /** The whole storage; tensors with the same one alias each other. */
  readonly whole: StorageRef;
  /** First byte of the window in it, and its length. */
  readonly beginBytes: number;
  readonly windowBytes: number;
  readonly elementType: DType | "untyped";
}

/** A storage of a torch file: a `StorageRef` that knows the type of its elements. */
export class TypedStorage extends StorageRef implements StorageWindow {
  readonly elementType: DType | "untyped";
  /** Set by the first tensor of an untyped storage in a big-endian file. */
  declare swapBytes: 1 | 2 | 4 | 8;
  private waiting: ((pieces: readonly StoragePiece[]) => void)[] | null = null;
  private readonly swapUnknown: boolean;
  private swapClaimed = false;

  constructor(parts: {
    nbytes: number;
    pieces: readonly StoragePiece[] | StorageRecord;
    elementType: DType | "untyped";
    bigEndian?: boolean;
    savedDevice?: string;
    meta?: boolean;
    key?: string;
  }) {
    const { elementType, bigEndian = false } = parts;
    super(parts);
    this.elementType = elementType;
    this.swapUnknown = bigEndian && elementType === "untyped";
    if (bigEndian && elementType !== "untyped") this.swapBytes = traitsOf(elementType).swapBytes;
  }

  get whole(): StorageRef {
    return this;
  }
  get beginBytes(): number {
    return 0;
  }
  get windowBytes(): number {
    return this.nbytes;
  }

  /** Says where the bytes are: old streams, and archives that are still arriving, do so only after the pickle. */
  place(pieces: readonly StoragePiece[] | StorageRecord): void {
    this.placed = pieces;
    for (const tell of this.waiting ?? []) tell(this.pieces);
  }

  /** Calls `tell` with the place of the bytes, now and whenever it changes. */
  onPlaced(tell: (pieces: readonly StoragePiece[]) => void): void {
    if (this.pieces.length > 0) tell(this.pieces);
    this.waiting ??= [];
    this.waiting.push(tell);
  }

  /**
   * Says that elements of `dtype` are in the storage. torch leaves untyped big-endian storages unswapped, which gives other numbers than
   * were saved; here the tensor's own type decides.
   * @throws {FormatError} RANKCAST_TENSOR_TYPE when two tensors need different swaps.
   */
  claim(dtype: DType, call: PickleCall): void {
    if (!this.swapUnknown) return;
    const { swapBytes } = traitsOf(dtype);
    if (this.swapClaimed && swapBytes !== this.swapBytes) {
      throw call.refuse(
        "RANKCAST_TENSOR_TYPE",
        `a big-endian storage is used with elements of ${this.swapBytes} and of ${swapBytes} bytes`,
      );
    }
    this.swapClaimed = true;
    this.swapBytes = swapBytes;
  }
}

/** A window of another storage (`view_metadata` of old files). Aliases the whole one. */
export class StorageView extends Unsettled implements StorageWindow {
  readonly whole: TypedStorage;
  readonly beginBytes: number;
  readonly windowBytes: number;
  readonly elementType: DType | "untyped";

  constructor(whole: TypedStorage, beginBytes: number, windowBytes: number, elementType: DType | "untyped") {
    super();
    this.whole = whole;
    this.beginBytes = beginBytes;
    this.windowBytes = windowBytes;
    this.elementType = elementType;
  }

  /** The window as a storage of its own, for a tree that holds it bare. Its bytes are the same, but it aliases nothing. */
  toStorage(): TypedStorage {
    const { savedDevice, key } = this.whole;
    const made = new TypedStorage({ nbytes: this.windowBytes, pieces: [], elementType: this.elementType, savedDevice, key });
    if (this.windowBytes > 0) this.whole.onPlaced((pieces) => made.place(pieces.map((piece) => this.cut(piece))));
    return made;
  }

  private cut({ extent }: StoragePiece): StoragePiece {
    const nbytes = this.windowBytes;
    if (extent.type === "inline") {
      return { at: 0, nbytes, extent: { type: "inline", bytes: extent.bytes.subarray(this.beginBytes, this.beginBytes + nbytes) } };
    }
    return { at: 0, nbytes, extent: { ...extent, offset: extent.offset + this.beginBytes, storedBytes: nbytes, crc32: null } };
  }
}

/** The window that `value` is, or null. */
export function asStorageWindow(value: unknown): StorageWindow | null {
  return value instanceof TypedStorage || value instanceof StorageView ? value : null;
}
