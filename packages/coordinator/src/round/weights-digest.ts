/** By which nodes that fetched for themselves find out whether they have the same weights. */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import {
  attachStorages,
  crc32,
  extraStateDigest,
  layoutDigest,
  nativeMemory,
  readEnvironment,
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
  const placements = unflattenPlacements(placed, manifest).map((placement, index) => (stored[index] === null ? placement : null));
  const { storages } = attachStorages(placed.segments, placements, nativeMemory(readEnvironment().noMmap));
  for (const [index, known] of stored.entries()) {
    const storage = storages[index];
    const checksum = known ?? (placements[index] && storage ? await checksumOf(storage.bytes(), signal) : "none");
    hash.update(`${checksum}\n`);
  }
  return hash.digest("hex");
}

/** The CRC-32 that the file keeps of exactly these bytes. */
function storedChecksum({ nbytes, pieces, swapBytes }: FetchedWeights["manifest"]["storages"][number]): number | null {
  const [piece, ...others] = pieces;
  if (!piece || others.length > 0 || piece.at !== 0 || piece.nbytes !== nbytes || piece.rectangle || swapBytes !== 1) return null;
  return piece.extent.type === "range" ? piece.extent.crc32 : null;
}

async function checksumOf(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
  let checksum = 0;
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    checksum = crc32(bytes.subarray(at, at + SLICE_BYTES), checksum);
    await setImmediate();
    signal.throwIfAborted();
  }
  return checksum;
}
