/** From the values of a checkpoint to the description of its tensors. */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import type { Limits } from "../limits/limits.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { CheckpointTree, StorageRef, TensorRef } from "./checkpoint-tree.ts";
import { type FlatTree, flattenTree } from "./flatten-tree.ts";
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
  const whole = flattenTree(selected.value, { limits: options.limits, cycles: stateDict ? "refuse" : "skip", where: file });
  const flat = options.subtree === undefined ? whole : keepSubtree(whole, options.subtree, file);
  if (stateDict) refuseCollisions(flat, file);
  const manifest = describe(tree, flat, selected.path);
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

function describe(tree: CheckpointTree, flat: FlatTree, selected: string): StateDictManifest {
  const indices = new Map<StorageRef, number>();
  const tensors = flat.tensors.map(({ name, ref }) => {
    const storage = indices.get(ref.storage) ?? indices.size;
    if (storage === indices.size) indices.set(ref.storage, storage);
    return describeTensor(name, ref, storage);
  });
  return {
    format: tree.format,
    tensors,
    storages: [...indices.keys()].map(describeStorage),
    sources: tree.sources.map(describeSource),
    metadataModules: flat.metadataModules,
    nontensor: flat.nontensor,
    opaque: flat.opaque,
    fileMetadata: [...tree.fileMetadata],
    checksums: tree.checksums,
    warnings: [...tree.warnings, ...flat.warnings],
    selected,
  };
}

function describeTensor(name: string, ref: TensorRef, storage: number): TensorDescriptor {
  return {
    name,
    dtype: ref.dtype,
    shape: ref.shape,
    stride: ref.stride,
    storageOffset: ref.storageOffset,
    storage,
    ...(ref.conj ? { conj: true } : {}),
    ...(ref.neg ? { neg: true } : {}),
    ...(ref.requiresGrad ? { requiresGrad: true } : {}),
    ...(ref.origin === "tensor" ? {} : { origin: ref.origin }),
  };
}

function describeStorage({ nbytes, pieces, swapBytes, savedDevice, meta }: StorageRef): StorageDescriptor {
  return { nbytes, pieces, swapBytes, savedDevice, ...(meta ? { meta } : {}) };
}

function describeSource({ name, version, file }: ByteSource): SourceDescriptor {
  return {
    name,
    version,
    ...(file ? { path: file.path } : {}),
    ...(file?.immutable ? { immutable: true } : {}),
  };
}
