/** From the values of a checkpoint to the description of its tensors. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import {
  type CheckpointTree,
  OpaqueValue,
  type StorageRef,
  type TensorRef,
  TreeDict,
  TreeList,
  type TreeValue,
} from "./checkpoint-tree.ts";
import { describeExtraState } from "./describe-extra-state.ts";
import { isExtraStateKey } from "./extra-state.ts";
import { type FlatTensor, type FlatTree, flattenTree } from "./flatten-tree.ts";
import type { SourceDescriptor, StateDictManifest, StorageDescriptor, TensorDescriptor } from "./manifest.ts";
import { selectStateDict } from "./select-state-dict.ts";
import { keepSubtree } from "./subtree.ts";
import { trimStorages } from "./trim-storages.ts";
import { validateManifest } from "./validate-manifest.ts";

/** What of a checkpoint to describe. */
export interface ManifestOptions {
  readonly limits: Limits;
  /** Only the state dict, names relative to it; storages of which it uses a small part are cut down. Default: the whole file as it is. */
  readonly stateDict?: boolean;
  /** Dotted path of the state dict; implies `stateDict`. */
  readonly select?: string | undefined;
  /** Only names below this prefix, which is taken off. */
  readonly subtree?: string | undefined;
  /** The checkpoint's name for messages. Default: its first file. */
  readonly file?: string;
}

/**
 * Describes the tensors of `tree`: validated, storages once each, in checkpoint order.
 * @throws {StateDictError} RANKCAST_NO_STATE_DICT, RANKCAST_SELECT_PATH, RANKCAST_SELECT_SUBTREE, RANKCAST_STATE_DICT_KEY,
 * RANKCAST_STATE_DICT_COLLISION.
 * @throws {FormatError} as `flattenTree` and `validateManifest`.
 */
export function buildManifest(tree: CheckpointTree, options: ManifestOptions): StateDictManifest {
  const file = options.file ?? tree.sources[0]?.name ?? tree.format;
  const stateDict = options.stateDict === true || options.select !== undefined;
  const selected = stateDict ? selectStateDict(tree.root, { select: options.select, file }) : { value: tree.root, path: "" };
  const whole = flattenTree(selected.value, {
    limits: options.limits,
    cycles: stateDict ? "refuse" : "skip",
    stateDict,
    where: file,
    ...(tree.sources.length === 0
      ? {}
      : { fileBytes: tree.sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0), heapBytes: tree.heapBytes ?? 0 }),
  });
  const flat = options.subtree === undefined ? whole : keepSubtree(whole, options.subtree, file);
  if (stateDict) refuseCollisions(flat, file);
  const manifest = describe(tree, flat, { selected: selected.path, limits: options.limits, file });
  validateManifest(manifest, options.limits);
  return stateDict ? trimStorages(manifest) : manifest;
}

function refuseCollisions({ tensors }: FlatTree, file: string): void {
  const seen = new Set<string>();
  for (const { name } of tensors) {
    if (seen.has(name)) {
      throw new StateDictError("RANKCAST_STATE_DICT_COLLISION", `${printable(file)}: two tensors are named ${quote(name)}`, {
        details: { file, key: name },
      });
    }
    seen.add(name);
  }
}

function describe(
  tree: CheckpointTree,
  flat: FlatTree,
  { selected, limits, file }: { readonly selected: string; readonly limits: Limits; readonly file: string },
): StateDictManifest {
  const indices = new Map<StorageRef, number>();
  const storages: StorageDescriptor[] = [];
  const extra = new Map<TensorRef, number>();
  const tensors = flat.tensors.map((tensor, index) => {
    const { ref } = tensor;
    if (tensor.extra && !extra.has(ref)) extra.set(ref, index);
    const known = indices.get(ref.storage);
    if (known !== undefined) return describeTensor(tensor, known);
    indices.set(ref.storage, storages.length);
    storages.push(describeStorage(ref.storage));
    return describeTensor(tensor, storages.length - 1);
  });
  return {
    format: tree.format,
    tensors,
    storages,
    sources: tree.sources.map(describeSource),
    metadataModules: flat.metadataModules,
    nontensor: flat.nontensor,
    extraState: describeExtraState(flat.extraState.map(outlined), { limits, where: file, indexOf: (ref) => extra.get(ref) }),
    opaque: flat.opaque,
    fileMetadata: [...tree.fileMetadata],
    checksums: tree.checksums,
    warnings: [...tree.warnings, ...flat.warnings],
    selected,
  };
}

function describeTensor({ name, ref, extra }: FlatTensor, storage: number): TensorDescriptor {
  const { dtype, shape, stride, storageOffset } = ref;
  const plain = { name, dtype, shape, stride, storageOffset, storage };
  // Nearly all tensors end here: copying fields over is what makes describing 100 000 of them slow.
  if (ref.origin === "tensor" && !ref.conj && !ref.neg && !ref.requiresGrad && !extra) return plain;
  return {
    ...plain,
    ...(ref.conj ? { conj: true } : {}),
    ...(ref.neg ? { neg: true } : {}),
    ...(ref.requiresGrad ? { requiresGrad: true } : {}),
    ...(ref.origin === "tensor" ? {} : { origin: ref.origin }),
    ...(extra ? { extra } : {}),
  };
}

function describeStorage({ nbytes, pieces, swapBytes, savedDevice, meta }: StorageRef): StorageDescriptor {
  return meta ? { nbytes, pieces, swapBytes, savedDevice, meta } : { nbytes, pieces, swapBytes, savedDevice };
}

function describeSource({ name, version, file }: ByteSource): SourceDescriptor {
  return {
    name,
    version,
    ...(file ? { path: file.path } : {}),
    ...(file?.immutable ? { immutable: true } : {}),
  };
}

/** What no module asks for goes without what is in it: that it is there is enough to say so. */
function outlined([key, value]: readonly [string, TreeValue]): readonly [string, TreeValue] {
  if (isExtraStateKey(key) || typeof value !== "object" || value === null) return [key, value];
  if (value instanceof TreeDict) return [key, new TreeDict(value.type)];
  if (value instanceof TreeList) return [key, new TreeList(value.type)];
  return [key, value instanceof OpaqueValue ? new OpaqueValue(value.global, [], value.dangerous) : value];
}
