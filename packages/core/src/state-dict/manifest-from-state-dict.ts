/** A state dict in memory described like one from a file: how weight updates enter at the manifest. */
import type { StateDictManifest, StorageDescriptor, TensorDescriptor } from "../manifest/manifest.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import { contiguousStrides, isDense } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The manifest and, per storage of it, the tensor whose elements fill that storage in the order of the manifest's strides. */
export interface StateDictInMemory {
  readonly manifest: StateDictManifest;
  readonly tensors: readonly Tensor[];
}

/**
 * Describes `stateDict` with one dense storage per distinct view, so that a small slice of a large storage ships only its own bytes. Names
 * that are the same view of the same storage share it: tied weights stay tied. Elements keep their order where they lie without gaps, so that a
 * library that has its own gets it back as it was; others are laid out row-major.
 */
export function manifestFromStateDict(stateDict: StateDict): StateDictInMemory {
  const storageIds = new Map<Storage, number>();
  const views = new Map<string, number>();
  const tensors: Tensor[] = [];
  const storages: StorageDescriptor[] = [];
  const descriptors: TensorDescriptor[] = [];
  for (const [name, tensor] of stateDict) {
    const id = storageIds.get(tensor.storage) ?? storageIds.size;
    storageIds.set(tensor.storage, id);
    const view = JSON.stringify([id, tensor.dtype, tensor.shape, tensor.stride, tensor.storageOffset, tensor.conj, tensor.neg]);
    let storage = views.get(view);
    if (storage === undefined) {
      storage = tensors.push(tensor) - 1;
      views.set(view, storage);
      storages.push({
        nbytes: tensor.nbytes,
        pieces: [],
        swapBytes: 1,
        savedDevice: tensor.savedDevice,
        ...(tensor.isMeta ? { meta: true } : {}),
      });
    }
    descriptors.push({
      name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      stride: isDense(tensor.shape, tensor.stride) ? tensor.stride : contiguousStrides(tensor.shape),
      storageOffset: 0,
      storage,
      ...(tensor.requiresGrad ? { requiresGrad: true } : {}),
    });
  }
  const manifest: StateDictManifest = {
    format: "memory",
    tensors: descriptors,
    storages,
    sources: [],
    metadataModules: [...stateDict.metadata],
    nontensor: [],
    opaque: [],
    fileMetadata: [],
    checksums: "absent",
    warnings: [],
    selected: "",
  };
  return { manifest, tensors };
}
