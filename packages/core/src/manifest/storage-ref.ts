/** A storage as a checkpoint names it. There is one per tensor in most files, so it is as small as it can be. */
import type { StoragePiece } from "./checkpoint-tree.ts";
import { isRecord, piecesOf, type StorageRecord } from "./storage-record.ts";

/** What is the same for most storages of a file. Never written once made: storages share it. */
export interface StorageTraits {
  /** Bytes that must be swapped together after reading; 1 = none (the file is little-endian). */
  readonly swapBytes: 1 | 2 | 4 | 8;
  readonly savedDevice: string;
  readonly meta: boolean;
}

const HOST_TRAITS: ReadonlyMap<number, StorageTraits> = new Map(
  ([1, 2, 4, 8] as const).map((swapBytes) => [swapBytes, { swapBytes, savedDevice: "cpu", meta: false }]),
);

/** What a storage is made of. */
export interface StorageParts {
  readonly nbytes: number;
  readonly pieces: readonly StoragePiece[] | StorageRecord;
  readonly swapBytes?: 1 | 2 | 4 | 8;
  readonly savedDevice?: string;
  readonly meta?: boolean;
  /** Key in the file, for messages. */
  readonly key?: string;
}

/** A storage before its bytes are read. Identity matters: tensors that share the object alias each other. */
export class StorageRef {
  readonly nbytes: number;
  protected placed: readonly StoragePiece[] | StorageRecord;
  protected traits: StorageTraits;
  private readonly named: string;
  /** Place in the list of storages that was made last, for whoever makes one: a table of all storages would be the largest thing beside them. */
  listedAt = -1;

  /** `traits`: those of the parts, when there are storages that have the same. */
  constructor(parts: StorageParts, traits: StorageTraits = traitsOf(parts)) {
    this.nbytes = parts.nbytes;
    this.placed = parts.pieces;
    this.traits = traits;
    this.named = parts.key ?? "";
  }

  get kind(): "storage" {
    return "storage";
  }

  /** Key in the file, for messages; of a record it is the end of its name. */
  get key(): string {
    const { placed } = this;
    return this.named === "" && isRecord(placed) ? placed.name.slice(placed.name.lastIndexOf("/") + 1) : this.named;
  }

  /** Bytes that must be swapped together after reading. */
  get swapBytes(): 1 | 2 | 4 | 8 {
    return this.traits.swapBytes;
  }

  get savedDevice(): string {
    return this.traits.savedDevice;
  }

  get meta(): boolean {
    return this.traits.meta;
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

function traitsOf({ swapBytes = 1, savedDevice = "cpu", meta = false }: StorageParts): StorageTraits {
  const plain = meta || savedDevice !== "cpu" ? undefined : HOST_TRAITS.get(swapBytes);
  return plain ?? { swapBytes, savedDevice, meta };
}
