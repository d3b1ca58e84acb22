/** Segments that nodes fill together: each reads the parts that are its own from the origin, and gets the rest from the others. */
import { createHash } from "node:crypto";
import type { Limits } from "../limits/limits.ts";
import type { StorageExtent } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest, StorageDescriptor } from "../manifest/manifest.ts";
import { manifestDigest } from "../manifest/manifest-digest.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { Storage } from "../tensor/storage.ts";
import { type StorageRead, transferStorages } from "../transfer/transfer-storages.ts";

/** What nodes agree on before they share the reading. */
export interface StripePlan {
  readonly segmentBytes: readonly number[];
  /** Equal: the same bytes of the same version of the same files go to the same places. */
  readonly digest: string;
  /**
   * Fills `into` with what belongs at `offset` of a segment; zeros between storages. Stored checksums cannot be compared in parts.
   * @throws {SourceError} as `ByteSource.readInto`.
   */
  read(segment: number, offset: number, into: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Bytes that `read` would ask for to fill `nbytes` at `offset` of a segment. */
  neededBytes(segment: number, offset: number, nbytes: number): number;
}

/** A piece of a storage where it lies in a segment. */
interface PlacedPiece {
  readonly begin: number;
  readonly nbytes: number;
  readonly extent: StorageExtent;
}

/** Weights as they were opened, and how they would be loaded. */
export interface StripedWeights {
  readonly manifest: StateDictManifest;
  readonly plan: LoadPlan;
  readonly sources: readonly ByteSource[];
  readonly limits: Limits;
}

/** Null when they cannot be read in parts: local files, compressed, byte-swapped or assembled storages, files without a strong version. */
export function planStripes({ manifest, plan, sources, limits }: StripedWeights): StripePlan | null {
  if (!sources.every(isRemote) || !manifest.storages.every(isPlain)) return null;
  if (plan.mappedBytes > 0 || plan.copiedBytes === 0) return null;
  const segmentBytes = plan.segments.map(({ nbytes }) => nbytes);
  const pieces = placePieces(manifest, plan);
  return {
    segmentBytes,
    digest: createHash("sha256")
      .update(JSON.stringify([manifestDigest(manifest), segmentBytes, plan.placements]))
      .digest("hex"),
    async read(segment, offset, into, signal) {
      const reads = cutPieces(pieces[segment] ?? [], offset, into);
      await transferStorages(reads, sources, { limits, verify: false, signal });
    },
    neededBytes: (segment, offset, nbytes) => neededBytes(pieces[segment] ?? [], offset, offset + nbytes),
  };
}

function isRemote({ file, arrival, version, oneReader }: ByteSource): boolean {
  return file === undefined && arrival === undefined && !oneReader && version.etag !== undefined && !version.etag.startsWith("W/");
}

function isPlain({ meta, pieces, swapBytes }: StorageDescriptor): boolean {
  if (meta) return true;
  return (
    swapBytes === 1 && pieces.every(({ extent, rectangle }) => !rectangle && (extent.type === "inline" || extent.encoding === "stored"))
  );
}

/** Per segment, in order of place. */
function placePieces({ storages }: StateDictManifest, { segments, placements }: LoadPlan): PlacedPiece[][] {
  const placed: PlacedPiece[][] = segments.map(() => []);
  placements.forEach((placement, index) => {
    for (const { at, nbytes, extent } of placement ? (storages[index]?.pieces ?? []) : []) {
      if (placement && nbytes > 0) placed[placement.segment]?.push({ begin: placement.byteOffset + at, nbytes, extent });
    }
  });
  for (const pieces of placed) pieces.sort((a, b) => a.begin - b.begin);
  return placed;
}

/** The parts of pieces that fall into `into`; what lies between them is cleared, for the memory has been used before. */
function cutPieces(pieces: readonly PlacedPiece[], offset: number, into: Uint8Array): StorageRead[] {
  const end = offset + into.length;
  const reads: StorageRead[] = [];
  let done = offset;
  for (let index = firstAfter(pieces, offset); index < pieces.length; index += 1) {
    const piece = pieces[index] as PlacedPiece;
    if (piece.begin >= end) break;
    const begin = Math.max(piece.begin, offset);
    const nbytes = Math.min(piece.begin + piece.nbytes, end) - begin;
    into.fill(0, done - offset, begin - offset);
    const extent = cutExtent(piece.extent, begin - piece.begin, nbytes);
    const storage = { nbytes, pieces: [{ at: 0, nbytes, extent }], swapBytes: 1 as const, savedDevice: "cpu" };
    reads.push({ storage, target: new Storage(into.buffer, into.byteOffset + begin - offset, nbytes) });
    done = begin + nbytes;
  }
  into.fill(0, done - offset);
  return reads;
}

function neededBytes(pieces: readonly PlacedPiece[], begin: number, end: number): number {
  let sum = 0;
  for (let index = firstAfter(pieces, begin); index < pieces.length; index += 1) {
    const piece = pieces[index] as PlacedPiece;
    if (piece.begin >= end) break;
    if (piece.extent.type === "range") sum += Math.min(piece.begin + piece.nbytes, end) - Math.max(piece.begin, begin);
  }
  return sum;
}

/** The first piece that ends behind `offset`. */
function firstAfter(pieces: readonly PlacedPiece[], offset: number): number {
  let [low, high] = [0, pieces.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const piece = pieces[middle] as PlacedPiece;
    if (piece.begin + piece.nbytes <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

function cutExtent(extent: StorageExtent, skip: number, nbytes: number): StorageExtent {
  if (extent.type === "inline") return { type: "inline", bytes: extent.bytes.subarray(skip, skip + nbytes) };
  // The checksum is that of the whole piece.
  return { ...extent, offset: extent.offset + skip, storedBytes: nbytes, crc32: null };
}
