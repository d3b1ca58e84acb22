/** What a weights string stands for now, so that a change can be noticed without loading anything. */

import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { beginWeights } from "./begin-weights.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { findLatestCheckpoint } from "./find-checkpoint.ts";
import { requireFetchOptions } from "./require-fetch-options.ts";

/** Weights, and a text that changes when they do. */
export interface CurrentCheckpoint {
  /** What to load: of a folder that a training loop fills, its newest complete checkpoint. */
  readonly weights: string;
  /** The step of that checkpoint, where its name says one. */
  readonly step: number | null;
  readonly identity: string;
}

/**
 * Looks once. A local folder of checkpoints is searched; anything else (`hf://`, `s3://`, `https://`, a single file, a folder that is one
 * checkpoint) is opened for its description only, and its files' sizes and validators are its identity. Null when nothing is there yet, or in a
 * local folder nothing complete.
 * @throws {CheckpointError} when the weights are there and cannot be read.
 */
export async function currentCheckpoint(weights: string, options: FetchOptions & FetchHooks = {}): Promise<CurrentCheckpoint | null> {
  requireFetchOptions(options);
  requireArgument("weights", weights, TEXT);
  const directory = await localDirectory(weights);
  if (directory !== null) {
    const found = await findLatestCheckpoint(directory);
    if (found) return { weights: found.path, step: found.step, identity: found.identity };
    if (!(await isThere(directory))) return null;
  }
  try {
    return await describe(weights, options);
  } catch (error) {
    if (directory !== null && error instanceof CheckpointError && INCOMPLETE.has(error.code)) return null;
    throw error;
  }
}

/** What a folder is called in which the first checkpoint is still being written. */
const INCOMPLETE: ReadonlySet<string> = new Set(["RANKCAST_ENTRY_NONE", "RANKCAST_ENTRY_PARTS"]);

async function describe(weights: string, options: FetchOptions & FetchHooks): Promise<CurrentCheckpoint> {
  const begun = await beginWeights(weights, { ...options, access: "ranges" });
  try {
    const { manifest } = await begun.settle();
    const identity = JSON.stringify(manifest.sources.map(({ name, version }) => [name, version]));
    return { weights, step: null, identity };
  } finally {
    await begun.close();
  }
}

/** The path when `weights` is a local one that is no file: a folder, or nothing yet. */
async function localDirectory(weights: string): Promise<string | null> {
  if (/^[\w+.-]+:\/\//.test(weights) && !weights.startsWith("file://")) return null;
  const path = weights.startsWith("file://") ? fileURLToPath(weights) : resolve(weights);
  const facts = await stat(path).catch(() => null);
  return facts === null || facts.isDirectory() ? path : null;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}
