/** Weights string → a module's parameters and buffers, in one process: what `load_model_checkpoint` was, with its faults corrected. */

import { readEnvironment } from "../environment/environment.ts";
import { commitStateDict } from "../module/commit-state-dict.ts";
import { compileLoadOptions, type LoadStateDictOptions } from "../module/load-options.ts";
import type { Module } from "../module/module.ts";
import { planStateDict } from "../module/plan-state-dict.ts";
import { requireModule } from "../module/require-module.ts";
import { LoadReport } from "../report/load-report.ts";
import { type RevKeys, reviseKeys } from "../rev-keys/revise-keys.ts";
import { addReadStats } from "../source/counting-source.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadState } from "./load-state.ts";
import { openWeights } from "./open-weights.ts";
import { checkedOptions, LOAD_MODEL_OPTIONS } from "./option-names.ts";

/** Options of `loadModelCheckpoint`. */
export interface LoadModelOptions extends FetchOptions, FetchHooks, Omit<LoadStateDictOptions, "subtree"> {
  /** Key rewrites in order, Python `re.sub` semantics. Default `[["^module\\.", ""]]`. */
  readonly revKeys?: RevKeys;
  /** Two keys that get one name: an error (default), or `last` keeps the last of them silently, as vis4d and mmengine do. */
  readonly onCollision?: "error" | "last";
}

/**
 * Loads `weights` into `model`. Transactional: a load that fails leaves the model as it was.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} for whatever
 * strictness and policies forbid.
 */
export async function loadModelCheckpoint(model: Module, weights: string, given: LoadModelOptions = {}): Promise<LoadReport> {
  const options = checkedOptions("loadModelCheckpoint", given, LOAD_MODEL_OPTIONS);
  // Everything that can be wrong without the checkpoint is, before anything is fetched.
  requireModule(model);
  compileLoadOptions(options);
  const startMs = performance.now();
  const opened = await openWeights(weights, options);
  try {
    const readStart = performance.now();
    const state = await loadState(opened, { ...options, noMmap: readEnvironment().noMmap });
    const loadStart = performance.now();
    const { stateDict, renamed, warnings } = reviseKeys(state.stateDict, options.revKeys, { onCollision: options.onCollision ?? "error" });
    // The manifest has applied `subtree` already.
    const { subtree: _, ...policies } = options;
    const plan = planStateDict(model, stateDict, policies);
    commitStateDict(plan);
    const endMs = performance.now();
    return new LoadReport({
      weights: opened.name,
      format: opened.manifest.format,
      ...(opened.sha256 === null ? {} : { sha256: opened.sha256 }),
      ...(opened.manifest.selected === "" ? {} : { selected: opened.manifest.selected }),
      bytes: opened.bytes,
      origin: addReadStats(opened.origin(), state.stats),
      segments: state.segments.map(({ kind, nbytes }) => ({ kind, bytes: nbytes })),
      ranks: [{ rank: 0, localRank: 0, nodeRank: 0, host: "", pid: process.pid, replicas: [{ ...plan.report, renamed }] }],
      timings: {
        startMs: 0,
        ...opened.timings,
        broadcastMs: loadStart - readStart - state.verifyMs,
        verifyMs: state.verifyMs,
        loadMs: endMs - loadStart,
        barrierMs: 0,
        totalMs: endMs - startMs,
      },
      warnings: [...opened.manifest.warnings, ...warnings.map((message) => ({ code: "rev-keys", message }))],
    });
  } finally {
    await opened.close();
  }
}
