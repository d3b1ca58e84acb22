/** Manifest and storages become tensors: zero copy. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import { StateDict } from "../tensor/state-dict.ts";
import { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * A state dict whose tensors look at `storages` (one per storage of the manifest). Tensors that shared a storage in the file share the
 * `Storage` object, so tied weights stay tied.
 * @throws {TensorError} RANKCAST_TENSOR_BOUNDS when the manifest was not validated and lies.
 */
export function bindStateDict(manifest: StateDictManifest, storages: readonly Storage[]): StateDict {
  const stateDict = new StateDict();
  for (const tensor of manifest.tensors) {
    const descriptor = manifest.storages[tensor.storage];
    const storage = descriptor?.meta ? new Storage(null, 0, descriptor.nbytes) : storages[tensor.storage];
    if (!storage || !descriptor)
      throw new RangeError(`tensor ${tensor.name} names storage ${tensor.storage}, there are ${storages.length}`);
    stateDict.set(
      tensor.name,
      new Tensor({
        dtype: tensor.dtype,
        shape: tensor.shape,
        stride: tensor.stride,
        storageOffset: tensor.storageOffset,
        storage,
        conj: tensor.conj ?? false,
        neg: tensor.neg ?? false,
        savedDevice: descriptor.savedDevice,
        requiresGrad: tensor.requiresGrad ?? false,
      }),
    );
  }
  for (const [path, metadata] of manifest.metadataModules) stateDict.metadata.set(path, metadata);
  return stateDict;
}
