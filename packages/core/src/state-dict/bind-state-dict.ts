/** Manifest and storages become tensors: zero copy. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import { bindExtraState } from "./bind-extra-state.ts";

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

/**
 * The manifest's tensors by name, with torch's module metadata, and what lies beside them: the extra state of modules.
 * @throws {RangeError} as `bindTensors`; {FormatError} as `bindExtraState`.
 */
export function bindStateDict(manifest: StateDictManifest, storages: readonly Storage[]): StateDict {
  const stateDict = new StateDict();
  const tensors = bindTensors(manifest, storages);
  tensors.forEach((tensor, index) => {
    const described = manifest.tensors[index];
    if (described && !described.extra) stateDict.set(described.name, tensor);
  });
  for (const [key, value] of bindExtraState(manifest, tensors)) stateDict.extraState.set(key, value);
  for (const [path, metadata] of manifest.metadataModules) stateDict.metadata.set(path, metadata);
  return stateDict;
}

function metaStorage(metas: Map<number, Storage>, index: number, nbytes: number): Storage {
  const storage = metas.get(index) ?? new Storage(null, 0, nbytes);
  metas.set(index, storage);
  return storage;
}
