/** The one gate for the numbers of a checkpoint: whatever passes can be allocated, read and viewed without further doubt. */
import { enforceLimit, type LimitPlace } from "../limits/exceeded.ts";
import type { Limits } from "../limits/limits.ts";
import type { ExtraState } from "./extra-state.ts";
import type { StateDictManifest } from "./manifest.ts";
import { validateStorage } from "./validate-storage.ts";
import { scalarLayout, validateTensor } from "./validate-tensor.ts";

/**
 * Proves: every tensor is inside its storage, every storage is filled exactly by pieces inside their files, all numbers are whole and at
 * most 2^53-1, counts and expansions are within `limits`. Linear in tensors and pieces.
 * @throws {FormatError} RANKCAST_TENSOR_LAYOUT, RANKCAST_TENSOR_BOUNDS, RANKCAST_STORAGE_LAYOUT, RANKCAST_TRUNCATED, RANKCAST_LIMIT.
 */
export function validateManifest(manifest: StateDictManifest, limits: Limits): void {
  const { tensors, storages, sources, extraState } = manifest;
  const file = sources[0]?.name ?? manifest.format;
  enforceLimit(limits, "tensors", tensors.length, { file });
  enforceExtraState(extraState, limits, file);
  const sourceBytes = sources.reduce((sum, { version }) => sum + version.sizeBytes, 0);
  let storedBytes = 0;
  let ownBytes = 0;
  const context = { index: 0, sources, limits };
  for (const storage of storages) {
    storedBytes += validateStorage(storage, context);
    ownBytes += storage.nbytes;
    context.index += 1;
  }
  enforceRatio(limits, storedBytes, sourceBytes, { file, what: "bytes of all storages against the files'" });
  let repeatedBytes = 0;
  const table = { limits, file, proved: scalarLayout() };
  for (const tensor of tensors) repeatedBytes += validateTensor(tensor, storages[tensor.storage], table);
  enforceRatio(limits, repeatedBytes, ownBytes, { file, what: "bytes of repeated elements against all storages'" });
}

function enforceExtraState({ entries, rows }: ExtraState, limits: Limits, file: string): void {
  const found = rows.reduce((sum, { parts }) => sum + parts.length, entries.length);
  enforceLimit(limits, "extraStateValues", found, { file, what: "values of extra state" });
}

function enforceRatio(limits: Limits, found: number, base: number, place: LimitPlace): void {
  if (found <= limits.materialisedBytesFloor) return;
  enforceLimit(limits, "materialisedRatio", found / Math.max(base, 1), place);
}
