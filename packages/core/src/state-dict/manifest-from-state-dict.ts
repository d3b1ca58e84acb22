/** A state dict in memory described like one from a file: how weight updates enter at the manifest. */
import { DEFAULT_LIMITS } from "../limits/limits.ts";
import { StorageRef, TensorRef } from "../manifest/checkpoint-tree.ts";
import { describeExtraState } from "../manifest/describe-extra-state.ts";
import { NO_EXTRA_STATE } from "../manifest/extra-state.ts";
import type { StateDictManifest, StorageDescriptor } from "../manifest/manifest.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import { contiguousStrides, isDense } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { TreeConverter } from "./tree-from-value.ts";

/** In which order elements are wanted: strides in elements, by key. */
export type OrderWish = ReadonlyMap<string, readonly number[]>;

/** The manifest and what fills it. */
export interface StateDictInMemory {
  readonly manifest: StateDictManifest;
  /** One per tensor of the manifest. */
  readonly tensors: readonly Tensor[];
}

/**
 * Describes `stateDict` with one dense storage per distinct view, so that a small slice of a large storage ships only its own bytes. Names
 * that are the same view of the same storage share it: tied weights stay tied. Elements keep their order where they lie without gaps, so that a
 * library that has its own gets it back as it was, or in the order that `order` names by key (strides in elements; ignored where they leave gaps);
 * others are laid out row-major. Extra state goes along, its tensors behind all others.
 * @throws {CheckpointError} RANKCAST_SAVE_VALUE for extra state that cannot leave this process, {FormatError} RANKCAST_LIMIT for too much of it.
 */
export function manifestFromStateDict(stateDict: StateDict, order: OrderWish = new Map()): StateDictInMemory {
  const tensors: Tensor[] = [...stateDict.values()];
  const names: string[] = [...stateDict.keys()];
  const indices = new Map<TensorRef, number>();
  const converter = new TreeConverter((tensor, key) => {
    const { dtype, shape, stride, storageOffset, savedDevice } = tensor;
    const storage = new StorageRef({ nbytes: tensor.storage.nbytes, pieces: [], savedDevice, meta: true });
    const ref = new TensorRef({ dtype, shape, stride, storageOffset, storage });
    indices.set(ref, tensors.push(tensor) - 1);
    names.push(`${key}.${tensors.length - stateDict.size - 1}`);
    return ref;
  });
  const extra = Array.from(stateDict.extraState, ([key, value]) => [key, converter.convert(key, value)] as const);
  const extraState =
    extra.length === 0
      ? NO_EXTRA_STATE
      : describeExtraState(extra, { limits: DEFAULT_LIMITS, where: "state dict", indexOf: (ref) => indices.get(ref) });
  const { storages, storageOf } = describeStorages(tensors);
  // Names that share a storage share its order: the first one's.
  const strides = new Map<number, readonly number[]>();
  const strideOf = (tensor: Tensor, index: number): readonly number[] => {
    const storage = storageOf[index] ?? -1;
    const stride = strides.get(storage) ?? orderOf(tensor, order.get(names[index] ?? ""));
    strides.set(storage, stride);
    return stride;
  };
  const manifest: StateDictManifest = {
    format: "memory",
    tensors: tensors.map((tensor, index) => ({
      name: names[index] ?? "",
      dtype: tensor.dtype,
      shape: tensor.shape,
      stride: strideOf(tensor, index),
      storageOffset: 0,
      storage: storageOf[index] ?? -1,
      ...(tensor.requiresGrad ? { requiresGrad: true } : {}),
      ...(index >= stateDict.size ? { extra: true } : {}),
    })),
    storages,
    sources: [],
    metadataModules: [...stateDict.metadata],
    nontensor: [],
    extraState,
    opaque: [],
    fileMetadata: [],
    checksums: "absent",
    warnings: [],
    selected: "",
  };
  return { manifest, tensors };
}

function orderOf({ shape, stride }: Tensor, wished: readonly number[] | undefined): readonly number[] {
  if (wished?.length === shape.length && isDense(shape, wished)) return wished;
  return isDense(shape, stride) ? stride : contiguousStrides(shape);
}

/** One storage per distinct view, and which one each tensor fills. */
function describeStorages(tensors: readonly Tensor[]): {
  readonly storages: readonly StorageDescriptor[];
  readonly storageOf: readonly number[];
} {
  const storageIds = new Map<Storage, number>();
  const views = new Map<string, number>();
  const storages: StorageDescriptor[] = [];
  const storageOf = tensors.map((tensor) => {
    const id = storageIds.get(tensor.storage) ?? storageIds.size;
    storageIds.set(tensor.storage, id);
    const view = JSON.stringify([id, tensor.dtype, tensor.shape, tensor.stride, tensor.storageOffset, tensor.conj, tensor.neg]);
    const known = views.get(view);
    if (known !== undefined) return known;
    const { nbytes, savedDevice, isMeta } = tensor;
    const storage = storages.push({ nbytes, pieces: [], swapBytes: 1, savedDevice, ...(isMeta ? { meta: true } : {}) }) - 1;
    views.set(view, storage);
    return storage;
  });
  return { storages, storageOf };
}
