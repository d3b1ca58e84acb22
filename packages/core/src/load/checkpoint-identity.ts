/** What a weights string stands for now, so that a change can be noticed without loading anything. */

import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { FUNCTION, type OptionShapes, requireArgument, TEXT } from "../errors/require-options.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { beginWeights } from "./begin-weights.ts";
import { isCutOff } from "./cut-off-fault.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { type IncompleteCheckpoint, newestComplete } from "./find-checkpoint.ts";
import { requireFetchOptions } from "./require-fetch-options.ts";

/** Weights, and a text that changes when they do. */
export interface CurrentCheckpoint {
  /** What to load: of a folder that a training loop fills, its newest complete checkpoint. */
  readonly weights: string;
  /** The step of that checkpoint, where its name says one. */
  readonly step: number | null;
  readonly identity: string;
}

/** Options of `currentCheckpoint`. */
export interface CurrentCheckpointOptions extends FetchOptions, FetchHooks {
  /** Told of what would be newer and is not whole: somebody writes it, or its writer has died. Of a folder, the newest comes first. */
  readonly onIncomplete?: ((found: IncompleteCheckpoint) => void) | undefined;
}

const HOOK_SHAPES: OptionShapes = new Map([["onIncomplete", FUNCTION]]);

/**
 * Looks once. A local folder of checkpoints is searched; anything else (`hf://`, `s3://`, `https://`, a single file, a folder that is one
 * checkpoint) is opened for its description only, and its files' sizes and validators are its identity. Null when nothing is there yet, or
 * nothing that is whole.
 * @throws {CheckpointError} when the weights are there and cannot be read.
 */
export async function currentCheckpoint(weights: string, options: CurrentCheckpointOptions = {}): Promise<CurrentCheckpoint | null> {
  requireFetchOptions(options, HOOK_SHAPES);
  requireArgument("weights", weights, TEXT);
  const { onIncomplete = () => undefined } = options;
  const path = localPath(weights);
  const facts = path === null ? null : await factsOf(path);
  if (path !== null && facts === null) return null;
  if (path !== null && facts?.isDirectory()) {
    const found = await newestComplete(path, onIncomplete);
    if (found) return { weights: found.path, step: found.step, identity: found.identity };
  }
  try {
    return await describe(weights, options);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    if (facts?.isDirectory() && NOTHING_YET.has(error.code)) return null;
    // Removed between two steps of this look.
    if (path !== null && error.class === "not-found" && (await factsOf(path)) === null) return null;
    if (!isCutOff(error)) throw error;
    onIncomplete({ weights, identity: facts ? `${facts.size} ${facts.mtimeMs} ${facts.ino}` : error.message, cause: error });
    return null;
  }
}

/** What a folder is called in which the first checkpoint is still being written. */
const NOTHING_YET: ReadonlySet<string> = new Set(["RANKCAST_ENTRY_NONE", "RANKCAST_ENTRY_PARTS"]);

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

function localPath(weights: string): string | null {
  return /^(?!file:)[\w+.-]+:\/\//i.test(weights) ? null : resolve(resolveLocalPath(weights));
}

const factsOf = (path: string): Promise<Stats | null> => stat(path).catch(() => null);
