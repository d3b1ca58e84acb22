/** A state dict that a scheme's loader made itself, as a decoded checkpoint: it then goes the way of every other one. */
import { type CheckpointTree, StorageRef, TensorRef, TreeDict } from "../manifest/checkpoint-tree.ts";
import { TreeConverter } from "../state-dict/tree-from-value.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The tree; tensors that share a storage go on sharing it. Meta tensors stay meta. */
export function treeFromStateDict(stateDict: StateDict): CheckpointTree {
  const storages = new Map<Storage, StorageRef>();
  const root = new TreeDict("OrderedDict");
  const refOf = (tensor: Tensor): TensorRef => {
    const storage = storages.get(tensor.storage) ?? storageRef(tensor.storage, tensor.savedDevice);
    storages.set(tensor.storage, storage);
    const { dtype, shape, stride, storageOffset, requiresGrad, conj, neg } = tensor;
    return new TensorRef({ dtype, shape, stride, storageOffset, storage, requiresGrad, conj, neg });
  };
  for (const [name, tensor] of stateDict) root.entries.set(name, refOf(tensor));
  const converter = new TreeConverter(refOf);
  for (const [key, value] of stateDict.extraState) root.entries.set(key, converter.convert(key, value));
  if (stateDict.metadata.size > 0) {
    const metadata = new TreeDict("OrderedDict");
    for (const [path, fields] of stateDict.metadata) {
      const dict = new TreeDict();
      for (const [key, value] of Object.entries(fields)) dict.entries.set(key, value);
      metadata.entries.set(path, dict);
    }
    root.attributes = new TreeDict();
    root.attributes.entries.set("_metadata", metadata);
  }
  return { format: "memory", root, sources: [], checksums: "absent", fileMetadata: new Map(), warnings: [] };
}

function storageRef(storage: Storage, savedDevice: string): StorageRef {
  const { nbytes } = storage;
  if (storage.buffer === null) return new StorageRef({ nbytes, pieces: [], savedDevice, meta: true });
  return new StorageRef({ nbytes, pieces: [{ at: 0, nbytes, extent: { type: "inline", bytes: storage.bytes() } }], savedDevice });
}
