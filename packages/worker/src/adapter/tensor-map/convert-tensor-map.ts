/** Between state dicts and plain typed arrays, without copies where memory allows. */
import { StateDict } from "@rankcast/core";
import { type TensorMap, type TensorMapEntry, tensorOf } from "./tensor-map.ts";

/**
 * A state dict over the arrays themselves: for `group.broadcastStateDict`, `pool.update` and `saveSafetensors`.
 * @throws {TensorError} RANKCAST_TENSOR_BOUNDS or RANKCAST_TENSOR_SHAPE when an array and its shape do not fit.
 */
export function fromTensorMap(weights: TensorMap): StateDict {
  const stateDict = new StateDict();
  for (const [name, entry] of weights) stateDict.set(name, tensorOf(entry));
  return stateDict;
}

/**
 * Arrays over the tensors' own memory; a copy only of those that have gaps, permuted axes or lazy flags.
 * @throws {TensorError} RANKCAST_TENSOR_META when a tensor has no bytes.
 */
export function toTensorMap(stateDict: StateDict): Map<string, TensorMapEntry> {
  const weights = new Map<string, TensorMapEntry>();
  for (const [name, tensor] of stateDict) weights.set(name, { data: tensor.contiguous().data, shape: tensor.shape, dtype: tensor.dtype });
  return weights;
}
