/** Manifest and storages become tensors: zero copy. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * The manifest's tensors in order, looking at `storages` (one per storage of the manifest). Tensors that shared a storage in the file share the
 * `Storage` object, so tied weights stay tied.
 * @throws {RangeError} when storages and manifest do not belong together, {TensorError} RANKCAST_TENSOR_BOUNDS when the manifest lies.
 */
export function bindTensors(manifest: StateDictManifest, storages: readonly Storage[]): Tensor[] {
  const metas = new Map<number, Storage>();
  return manifest.tensors.map((tensor) => {
    const descriptor = manifest.storages[tensor.storage];
    const storage = descriptor?.meta ? metaStorage(metas, tensor.storage, descriptor.nbytes) : storages[tensor.storage];
    if (!storage || !descriptor) throw new RangeError(`a tensor names storage ${tensor.storage}, there are ${storages.length}`);
    return new Tensor({
      dtype: tensor.dtype,
      shape: tensor.shape,
      stride: tensor.stride,
      storageOffset: tensor.storageOffset,
      storage,
      conj: tensor.conj ?? false,
      neg: tensor.neg ?? false,
      savedDevice: descriptor.savedDevice,
      requiresGrad: tensor.requiresGrad ?? false,
    });
  });
}

/** What torch calls the entry of a module that keeps state of its own beside its tensors. */
const EXTRA_STATE = /(^|\.)_extra_state$/;

/**
 * The manifest's tensors by name, with torch's module metadata, and with the extra state of modules where that is a plain value.
 * @throws {RangeError} as `bindTensors`.
 */
export function bindStateDict(manifest: StateDictManifest, storages: readonly Storage[]): StateDict {
  const stateDict = new StateDict();
  bindTensors(manifest, storages).forEach((tensor, index) => {
    const name = manifest.tensors[index]?.name;
    if (name !== undefined) stateDict.set(name, tensor);
  });
  for (const [path, value] of manifest.nontensor) if (EXTRA_STATE.test(path)) stateDict.extraState.set(path, value);
  for (const [path, metadata] of manifest.metadataModules) stateDict.metadata.set(path, metadata);
  return stateDict;
}

function metaStorage(metas: Map<number, Storage>, index: number, nbytes: number): Storage {
  const storage = metas.get(index) ?? new Storage(null, 0, nbytes);
  metas.set(index, storage);
  return storage;
}
