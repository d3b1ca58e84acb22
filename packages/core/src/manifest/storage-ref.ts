/** A storage as a checkpoint names it. There is one per tensor in most files, so it is as small as it can be. */
import type { StoragePiece } from "./checkpoint-tree.ts";
import type { StorageDescriptor } from "./manifest.ts";
import { isRecord, pieceOfRun, piecesOf, type StoragePlace } from "./storage-record.ts";

/** What is the same for most storages of a file. Never written once made: storages share it. */
export interface StorageTraits {
  /** Bytes that must be swapped together after reading; 1 = none (the file is little-endian). */
  readonly swapBytes: 1 | 2 | 4 | 8;
  readonly savedDevice: string;
  readonly meta: boolean;
  /** File of storages that are a run of bytes: an index into the tree's sources. Default 0. */
  readonly source?: number;
}

const HOST_TRAITS: ReadonlyMap<number, StorageTraits> = new Map(
  ([1, 2, 4, 8] as const).map((swapBytes) => [swapBytes, { swapBytes, savedDevice: "cpu", meta: false }]),
);

/** How places in the files of a tree become places in the files of a larger one. */
export interface SourceMove {
  /** Added to the index of a file. */
  readonly sources: number;
  /** Added to the offset in it. */
  readonly bytes: number;
}

/** What a storage is made of. */
export interface StorageParts {
  readonly nbytes: number;
  readonly pieces: StoragePlace;
  readonly swapBytes?: 1 | 2 | 4 | 8;
  readonly savedDevice?: string;
  readonly meta?: boolean;
  /** Key in the file, for messages. */
  readonly key?: string;
}

/**
 * A storage before its bytes are read. Identity matters: tensors that share the object alias each other. It is its own description in a manifest where
 * that saves memory; a copy of its fields is none, for they are made when they are asked for.
 */
export class StorageRef implements StorageDescriptor {
  readonly nbytes: number;
  protected placed: StoragePlace;
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

  /** Whether `pieces` are made whenever they are asked for, and so would be kept by a description that has them. */
  get makesPieces(): boolean {
    return this.nbytes > 0 && (typeof this.placed === "number" || isRecord(this.placed));
  }

  /** File of a storage that is one run of it: an index into the tree's sources. */
  get runSource(): number {
    return typeof this.placed === "number" ? (this.traits.source ?? 0) : 0;
  }

  /**
   * First byte behind the one stored run of the file `runSource` that fills the storage: what `pieces` would say, without the four objects that say it.
   * Null when pieces, if any, must be looked at: there are several or none, they are compressed, or their numbers are no counts.
   */
  get runEnd(): number | null {
    const { placed, nbytes } = this;
    if (typeof placed === "number") return nbytes > 0 && isCount(nbytes) && isCount(placed) ? placed + nbytes : null;
    if (!isRecord(placed) || placed.encoding !== "stored") return null;
    const { offset, crc32 } = placed;
    if (!(nbytes > 0) || placed.nbytes !== nbytes || placed.storedBytes !== nbytes || !isCount(nbytes) || !isCount(offset)) return null;
    return crc32 === null || (isCount(crc32) && crc32 < 2 ** 32) ? offset + nbytes : null;
  }

  /** Says where the bytes are in a larger tree; `traits` has those that were moved alike. */
  move(move: SourceMove, traits: Map<StorageTraits, StorageTraits>): void {
    if (typeof this.placed !== "number") {
      this.placed = this.pieces.map((piece) => movePiece(piece, move));
      return;
    }
    this.placed += move.bytes;
    const source = (this.traits.source ?? 0) + move.sources;
    const moved = traits.get(this.traits) ?? { ...this.traits, source };
    traits.set(this.traits, moved);
    this.traits = moved;
  }

  /** Empty for a meta storage (size known, no bytes) and for storages of 0 bytes. */
  get pieces(): readonly StoragePiece[] {
    const { placed } = this;
    if (typeof placed === "number") return pieceOfRun(this.traits.source ?? 0, placed, this.nbytes);
    return isRecord(placed) ? piecesOf(placed) : placed;
  }
}

/** Of storages that are stored runs of bytes of one file, an index into the tree's sources. */
export function runTraits(source: number): StorageTraits {
  return { swapBytes: 1, savedDevice: "cpu", meta: false, source };
}

/** The piece in the files of the larger tree. */
export function movePiece(piece: StoragePiece, { sources, bytes }: SourceMove): StoragePiece {
  const { extent } = piece;
  if (extent.type === "inline") return piece;
  return { ...piece, extent: { ...extent, source: extent.source + sources, offset: extent.offset + bytes } };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function traitsOf({ swapBytes = 1, savedDevice = "cpu", meta = false }: StorageParts): StorageTraits {
  const plain = meta || savedDevice !== "cpu" ? undefined : HOST_TRAITS.get(swapBytes);
  return plain ?? { swapBytes, savedDevice, meta };
}
