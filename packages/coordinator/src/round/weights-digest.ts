/** By which nodes that fetched for themselves find out whether they have the same weights. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { TensorError } from "@rankcast/core";
import {
  crc32,
  extraStateDigest,
  layoutDigest,
  openSegmentBytes,
  type PlacedSegments,
  type SegmentBytes,
  type StoragePlacement,
  unflattenPlacements,
} from "@rankcast/core/runtime";
import type { FetchedWeights } from "../fetch/fetch-weights.ts";

/** Checked between two turns of the event loop: a few milliseconds. */
const SLICE_BYTES = 8 * 2 ** 20;

/**
 * SHA-256 (hex) over names, shapes, types, extra state, and a CRC-32 of each storage: the stored one where the file has it (`verify` compares it with the
 * bytes), else computed. Files, paths and times do not count. Equal: the same state dict.
 * @throws the signal's reason when it is aborted.
 */
export async function weightsDigest({ manifest, placed }: FetchedWeights, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256").update(`${layoutDigest(manifest)} ${extraStateDigest(manifest.extraState)} ${manifest.selected}\n`);
  const stored = manifest.storages.map(storedChecksum);
  const placements = unflattenPlacements(placed, manifest);
  const segments = new ReadSegments(placed.segments);
  try {
    for (const [index, known] of stored.entries()) {
      const placement = placements[index];
      hash.update(`${known ?? (placement ? await segments.checksumOf(placement, signal) : "none")}\n`);
    }
  } finally {
    segments.close();
  }
  return hash.digest("hex");
}

/** The CRC-32 that the file keeps of exactly these bytes. */
function storedChecksum({ nbytes, pieces, swapBytes }: FetchedWeights["manifest"]["storages"][number]): number | null {
  const [piece, ...others] = pieces;
  if (!piece || others.length > 0 || piece.at !== 0 || piece.nbytes !== nbytes || piece.rectangle || swapBytes !== 1) return null;
  return piece.extent.type === "range" ? piece.extent.crc32 : null;
}

/** Segments that are read a slice at a time: mapping them would cost as many page faults as reading costs copies, and keep nothing smaller. */
class ReadSegments {
  readonly #descriptors: PlacedSegments["segments"];
  readonly #open = new Map<number, SegmentBytes>();
  #slice: Uint8Array | null = null;

  constructor(descriptors: PlacedSegments["segments"]) {
    this.#descriptors = descriptors;
  }

  /** @throws {TensorError} RANKCAST_SEGMENT_GONE; {SourceError} RANKCAST_SOURCE_CHANGED, RANKCAST_SOURCE_TRUNCATED; the signal's reason. */
  async checksumOf({ segment, byteOffset, nbytes }: StoragePlacement, signal: AbortSignal): Promise<number> {
    let checksum = 0;
    for (let at = 0; at < nbytes; at += SLICE_BYTES) {
      const bytes = this.#bytesOf(segment).view(byteOffset + at, Math.min(SLICE_BYTES, nbytes - at), () => {
        this.#slice ??= new Uint8Array(SLICE_BYTES);
        return this.#slice;
      });
      checksum = crc32(bytes, checksum);
      await setImmediate();
      signal.throwIfAborted();
    }
    return checksum;
  }

  close(): void {
    for (const bytes of this.#open.values()) bytes.close();
  }

  #bytesOf(segment: number): SegmentBytes {
    const known = this.#open.get(segment);
    if (known) return known;
    const descriptor = this.#descriptors[segment];
    if (!descriptor) throw new TensorError("RANKCAST_SEGMENT_GONE", `segment ${segment} is not described`, { details: { segment } });
    const opened = openSegmentBytes(descriptor, null);
    this.#open.set(segment, opened);
    return opened;
  }
}
