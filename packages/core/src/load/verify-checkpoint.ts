/** Reads and checks everything a checkpoint holds. */

import { stat } from "node:fs/promises";
import { readEnvironment } from "../environment/environment.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { hashFile } from "../source/content-hash.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadState } from "./load-state.ts";
import { openWeights } from "./open-weights.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

/** The JSON of `rankcast verify`. */
export interface VerifyReport {
  readonly weights: string;
  readonly format: string;
  readonly bytes: number;
  /** Of a checkpoint that is one file; a local one's is computed. */
  readonly sha256?: string;
  readonly tensors: number;
  /** Whether stored checksums cover all tensor bytes, some, or none. */
  readonly checksums: "present" | "partial" | "absent";
  readonly opaque: readonly { readonly path: string; readonly global: string; readonly dangerous: boolean }[];
  readonly warnings: readonly Warning[];
}

/**
 * Checks structure, bounds, every stored checksum and, where it is known, the file's digest.
 * @throws {FormatError} for the first thing that is wrong; {SourceError} when the bytes cannot be had.
 */
export async function verifyCheckpoint(weights: string, given: FetchOptions & FetchHooks = {}): Promise<VerifyReport> {
  const options = checkedOptions("verifyCheckpoint", given, FETCH_AND_HOOK_OPTIONS);
  const opened = await openWeights(weights, { ...options, scope: "whole" });
  try {
    await loadState(opened, { ...options, verify: true, compareAgain: true, noMmap: readEnvironment().noMmap });
    const { manifest, name, bytes } = opened;
    const sha256 = opened.sha256 ?? (await digestOf(manifest, options.signal));
    return {
      weights: name,
      format: manifest.format,
      bytes,
      ...(sha256 === null ? {} : { sha256 }),
      tensors: manifest.tensors.length,
      checksums: manifest.checksums,
      opaque: manifest.opaque,
      warnings: manifest.warnings,
    };
  } finally {
    await opened.close();
  }
}

/** SHA-256 of a checkpoint that is one local file, null for others. */
async function digestOf({ sources }: StateDictManifest, signal?: AbortSignal): Promise<string | null> {
  const [source, another] = sources;
  if (source?.path === undefined || another !== undefined) return null;
  return hashFile(source.path, (await stat(source.path)).size, signal);
}
