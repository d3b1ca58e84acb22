/** Short ways to write decoded checkpoints down. */
import {
  type CheckpointTree,
  memorySource,
  OpaqueValue,
  StorageRef,
  TensorRef,
  TreeDict,
  type TreeKey,
  TreeList,
  type TreeValue,
} from "@rankcast/core/internal";

/** A storage whose bytes lie at `offset` of the tree's first file. */
export function storage(nbytes: number, offset = 0): StorageRef {
  const extent = { type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32: null } as const;
  return new StorageRef({ nbytes, pieces: nbytes === 0 ? [] : [{ at: 0, nbytes, extent }] });
}

/** A float32 vector of `count` elements; over a storage of its own unless one is given. */
export function vector(count = 1, parts: Partial<ConstructorParameters<typeof TensorRef>[0]> = {}): TensorRef {
  return new TensorRef({ dtype: "float32", shape: [count], stride: [1], storageOffset: 0, storage: storage(count * 4), ...parts });
}

/** A dict of these entries. */
export function dict(entries: Iterable<readonly [TreeKey, TreeValue]> | Readonly<Record<string, TreeValue>>, type = "dict"): TreeDict {
  const result = new TreeDict(type);
  const pairs = Symbol.iterator in entries ? entries : Object.entries(entries);
  for (const [key, value] of pairs as Iterable<readonly [TreeKey, TreeValue]>) result.entries.set(key, value);
  return result;
}

/** A list of these elements. */
export function list(...elements: TreeValue[]): TreeList {
  return new TreeList("list", elements);
}

/** A pickled `torch.nn.Module`. */
export function pickledModule(
  parts: {
    readonly parameters?: Readonly<Record<string, TreeValue>>;
    readonly buffers?: Readonly<Record<string, TreeValue>>;
    readonly transient?: readonly string[];
    readonly modules?: Readonly<Record<string, TreeValue>>;
  },
  global = "acme.Net",
): OpaqueValue {
  const state = dict({
    training: true,
    _parameters: dict(parts.parameters ?? {}),
    _buffers: dict(parts.buffers ?? {}),
    _non_persistent_buffers_set: new TreeList("set", [...(parts.transient ?? [])]),
    _modules: dict(parts.modules ?? {}),
    note: vector(),
  });
  return new OpaqueValue(global, [], false, state);
}

/** `root` as a checkpoint of one file of `fileBytes` bytes. */
export function treeOf(root: TreeValue, fileBytes = 2 ** 40, parts: Partial<CheckpointTree> = {}): CheckpointTree {
  const source = { ...memorySource(new Uint8Array(), "model.pt"), sizeBytes: fileBytes, version: { sizeBytes: fileBytes } };
  return { format: "torch-zip", root, sources: [source], checksums: "present", fileMetadata: new Map(), warnings: [], ...parts };
}
