/** Weights string → everything in the checkpoint, in one process. */

import { readEnvironment } from "../environment/environment.ts";
import { CheckpointError } from "../errors/checkpoint-error.ts";
import type { TensorRef } from "../manifest/checkpoint-tree.ts";
import { FlatTensors } from "../manifest/flat-tensors.ts";
import { type FlatTree, flattenTree } from "../manifest/flatten-tree.ts";
import { selectStateDict } from "../manifest/select-state-dict.ts";
import { keepSubtree } from "../manifest/subtree.ts";
import { bindTensors } from "../state-dict/bind-state-dict.ts";
import type { CheckpointValue } from "../state-dict/checkpoint-value.ts";
import { materialiseAll } from "../state-dict/materialise-tree.ts";
import { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadState } from "./load-state.ts";
import { type OpenedWeights, openWeights } from "./open-weights.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";
import { selectedPath } from "./require-fetch-options.ts";

/** Options of `loadCheckpoint`. */
export interface LoadCheckpointOptions extends FetchOptions, FetchHooks {}

/**
 * Loads a whole checkpoint: CheckpointLoader.load_checkpoint without its dangers. Nothing in the file is executed; values of unknown classes
 * stay opaque.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} for a `select` or `subtree`
 * that is not there.
 */
export async function loadCheckpoint(weights: string, given: LoadCheckpointOptions = {}): Promise<Checkpoint> {
  const options = checkedOptions("loadCheckpoint", given, FETCH_AND_HOOK_OPTIONS);
  // A checkpoint without a state dict (an optimizer file, say) is still a checkpoint; asking for a path that is not there is an error.
  return loadWhole(weights, options, { needsStateDict: options.select !== undefined });
}

/**
 * `loadCheckpoint` for those who want the state dict rather than the tree, with checked options.
 * @throws as `loadCheckpoint`; {StateDictError} RANKCAST_NO_STATE_DICT when there is none and `needsStateDict`.
 */
export async function loadWhole(
  weights: string,
  options: LoadCheckpointOptions,
  { needsStateDict }: { readonly needsStateDict: boolean },
): Promise<Checkpoint> {
  // The tree stays whole, so all of it is described and loaded; only the state dict is a part.
  const { select, subtree, ...rest } = options;
  const opened = await openWeights(weights, { ...rest, scope: "whole" });
  try {
    const { storages } = await loadState(opened, { ...rest, noMmap: readEnvironment().noMmap });
    const tensors = tensorsByRef(opened, storages);
    const { manifest, tree } = opened;
    const flat = flattenSelected(opened, {
      select: selectedPath(select, tree.root),
      subtree: subtree ?? opened.subtree,
      needsStateDict,
    });
    // In one go: what the state dict holds beside tensors is what the tree holds there.
    const [root = null, ...beside] = materialiseAll([tree.root, ...flat.extraState.map(([, value]) => value)], tensors);
    // Everything is in memory or mapped: nothing stays open for a caller who forgets to close.
    const close = async (): Promise<void> => undefined;
    return {
      tree: root,
      stateDict: stateDictOf(flat, tensors, beside),
      metadata: tree.fileMetadata,
      format: tree.format,
      report: { weights: opened.name, format: tree.format, bytes: opened.bytes, warnings: manifest.warnings, opaque: manifest.opaque },
      close,
      [Symbol.asyncDispose]: close,
    };
  } finally {
    await opened.close();
  }
}

/** Flattening is deterministic, so the n-th reference is the n-th tensor of the manifest; names may repeat and cannot serve as keys. */
function tensorsByRef({ tree, manifest, limits }: OpenedWeights, storages: readonly Storage[]): Map<TensorRef, Tensor> {
  const tensors = bindTensors(manifest, storages);
  const byRef = new Map<TensorRef, Tensor>();
  const flat = flattenTree(tree.root, { limits });
  tensors.forEach((tensor, index) => {
    byRef.set(flat.tensors.ref(index), tensor);
  });
  return byRef;
}

/** The selected state dict; empty where the checkpoint holds none. */
interface Wanted {
  readonly select: string | undefined;
  readonly subtree: string | undefined;
  readonly needsStateDict: boolean;
}

function flattenSelected({ tree, limits, name }: OpenedWeights, { select, subtree, needsStateDict }: Wanted): FlatTree {
  try {
    const selected = selectStateDict(tree.root, { select, file: name });
    const whole = flattenTree(selected.value, { limits, cycles: "refuse", stateDict: true, where: name });
    return subtree === undefined ? whole : keepSubtree(whole, subtree, name);
  } catch (error) {
    if (needsStateDict || !(error instanceof CheckpointError) || error.code !== "RANKCAST_NO_STATE_DICT") throw error;
    return { tensors: new FlatTensors(), distinct: true, nontensor: [], extraState: [], opaque: [], metadataModules: [], warnings: [] };
  }
}

function stateDictOf(flat: FlatTree, tensors: ReadonlyMap<TensorRef, Tensor>, beside: readonly CheckpointValue[]): StateDict {
  const stateDict = new StateDict();
  for (const { name, ref, extra } of flat.tensors) {
    const tensor = extra ? undefined : tensors.get(ref);
    if (tensor) stateDict.set(name, tensor);
  }
  flat.extraState.forEach(([key], index) => {
    stateDict.extraState.set(key, beside[index]);
  });
  for (const [path, metadata] of flat.metadataModules) stateDict.metadata.set(path, metadata);
  return stateDict;
}
