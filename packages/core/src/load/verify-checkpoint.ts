/** Reads and checks everything a checkpoint holds. */

import { readEnvironment } from "../environment/environment.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadState } from "./load-state.ts";
import { openWeights } from "./open-weights.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";
import { verifyFiles } from "./verify-files.ts";

/** The JSON of `rankcast verify`. */
export interface VerifyReport {
  readonly weights: string;
  readonly format: string;
  readonly bytes: number;
  /** Of a checkpoint that is one file; computed, and compared when it is known. */
  readonly sha256?: string;
  readonly tensors: number;
  /** Whether stored checksums cover all tensor bytes, some, or none. */
  readonly checksums: "present" | "partial" | "absent";
  readonly opaque: readonly { readonly path: string; readonly global: string; readonly dangerous: boolean }[];
  readonly warnings: readonly Warning[];
}

/**
 * Checks structure, bounds, every stored checksum and, where they are known, the files' digests. The bytes are read once, in order, whatever was
 * checked before, and nothing is kept: a checkpoint larger than memory can be verified.
 * @throws {FormatError} for the first thing that is wrong; {SourceError} when the bytes cannot be had.
 */
export async function verifyCheckpoint(weights: string, given: FetchOptions & FetchHooks = {}): Promise<VerifyReport> {
  const options = checkedOptions("verifyCheckpoint", given, FETCH_AND_HOOK_OPTIONS);
  const opened = await openWeights(weights, { ...options, scope: "whole" });
  try {
    const { manifest, name, bytes, sources } = opened;
    // Their checksums are over what they inflate to.
    if (hasCompressed(manifest)) await loadState(opened, { ...options, verify: true, noMmap: readEnvironment().noMmap });
    options.onPhase?.("reading");
    const [sha256, another] = await verifyFiles(manifest, sources, options);
    return {
      weights: name,
      format: manifest.format,
      bytes,
      ...(sha256 === undefined || another !== undefined ? {} : { sha256 }),
      tensors: manifest.tensors.length,
      checksums: manifest.checksums,
      opaque: manifest.opaque,
      warnings: manifest.warnings,
    };
  } finally {
    await opened.close();
  }
}

function hasCompressed({ storages }: StateDictManifest): boolean {
  return storages.some(({ pieces }) => pieces.some(({ extent }) => extent.type === "range" && extent.encoding !== "stored"));
}
