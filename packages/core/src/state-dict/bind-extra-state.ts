/** Extra state of a manifest as values that modules can take. */
import { StorageRef, TensorRef } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { rebuildExtraState } from "../manifest/rebuild-extra-state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CheckpointValue } from "./checkpoint-value.ts";
import { materialiseAll } from "./materialise-tree.ts";

/**
 * Full keys and values: dicts as Maps, sequences as arrays, tensors as those in `tensors` (one per tensor of the manifest), other objects as
 * `OpaqueValue`.
 * @throws {FormatError} RANKCAST_MANIFEST_MALFORMED when the rows say what cannot be.
 */
export function bindExtraState(manifest: StateDictManifest, tensors: readonly Tensor[]): (readonly [string, CheckpointValue])[] {
  const { extraState } = manifest;
  if (extraState.entries.length === 0) return [];
  const refs = new Map<number, TensorRef>();
  const bound = new Map<TensorRef, Tensor>();
  const tensorAt = (index: number): TensorRef | undefined => {
    const tensor = tensors[index];
    const known = refs.get(index);
    if (known !== undefined || tensor === undefined) return known;
    const { dtype, shape, stride, storageOffset, savedDevice } = tensor;
    const storage = new StorageRef({ nbytes: tensor.storage.nbytes, pieces: [], savedDevice, meta: true });
    const ref = new TensorRef({ dtype, shape, stride, storageOffset, storage });
    refs.set(index, ref);
    bound.set(ref, tensor);
    return ref;
  };
  const rebuilt = rebuildExtraState(extraState, tensorAt);
  // In one go: what two modules share stays shared.
  const values = materialiseAll(
    rebuilt.map(([, value]) => value),
    bound,
  );
  return rebuilt.map(([key], index) => [key, values[index] ?? null]);
}
