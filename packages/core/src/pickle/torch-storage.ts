/** Storages as torch's pickles name them: bytes with an element type, or a window of such bytes. */
import { type StoragePiece, StorageRef } from "../manifest/checkpoint-tree.ts";
import type { StoragePlace } from "../manifest/storage-record.ts";
import type { StorageTraits } from "../manifest/storage-ref.ts";
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

/** What most storages of a torch file have in common. */
export interface TypedTraits extends StorageTraits {
  readonly elementType: DType | "untyped";
  /** How its elements are swapped is said by its first tensor: `said` once there was one. */
  readonly swap: "known" | "open" | "said";
}

/** What a storage of a torch file is made of. */
interface TypedParts {
  readonly nbytes: number;
  readonly pieces: StoragePlace;
  readonly elementType: DType | "untyped";
  readonly bigEndian?: boolean;
  readonly savedDevice?: string;
  readonly meta?: boolean;
  readonly key?: string;
}

/** The traits of such a storage, for those that share them. */
export function typedTraits({
  elementType,
  bigEndian = false,
  savedDevice = "cpu",
  meta = false,
}: Omit<TypedParts, "nbytes" | "pieces">): TypedTraits {
  const swapBytes = bigEndian && elementType !== "untyped" ? traitsOf(elementType).swapBytes : 1;
  return { swapBytes, savedDevice, meta, elementType, swap: bigEndian && elementType === "untyped" ? "open" : "known" };
}

/** A storage of a torch file: a `StorageRef` that knows the type of its elements. */
export class TypedStorage extends StorageRef implements StorageWindow {
  /** Replaced by the first tensor of an untyped storage in a big-endian file. */
  declare protected traits: TypedTraits;
  private waiting: ((pieces: readonly StoragePiece[]) => void)[] | null = null;

  constructor(parts: TypedParts, traits: TypedTraits = typedTraits(parts)) {
    super(parts, traits);
  }

  get elementType(): DType | "untyped" {
    return this.traits.elementType;
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
  place(pieces: StoragePlace): void {
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
    const { swap } = this.traits;
    if (swap === "known") return;
    const { swapBytes } = traitsOf(dtype);
    if (swap === "said" && swapBytes !== this.swapBytes) {
      throw call.refuse(
        "RANKCAST_TENSOR_TYPE",
        `a big-endian storage is used with elements of ${this.swapBytes} and of ${swapBytes} bytes`,
      );
    }
    if (swap === "open") this.traits = { ...this.traits, swapBytes, swap: "said" };
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
