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

function refuseCollisions({ tensors, distinct }: FlatTree, file: string): void {
  if (distinct) return;
  const seen = new Set<string>();
  for (let index = 0; index < tensors.length; index += 1) {
    const name = tensors.name(index);
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
  const { length } = flat.tensors;
  const listed = new StorageList(length);
  const extra = new Map<TensorRef, number>();
  const tensors = new Array<TensorDescriptor>(length);
  for (let index = 0; index < length; index += 1) {
    const ref = flat.tensors.ref(index);
    const isExtra = flat.tensors.isExtra(index);
    if (isExtra && !extra.has(ref)) extra.set(ref, index);
    tensors[index] = describeTensor(flat.tensors.name(index), ref, listed.indexOf(ref.storage), isExtra);
  }
  return {
    format: tree.format,
    tensors,
    storages: listed.finish(),
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

/** Storages once each, in the order in which they are asked for. */
class StorageList {
  readonly #descriptors: StorageDescriptor[];
  readonly #refs: StorageRef[];
  #count = 0;

  /** With room for `capacity`, the most there can be. */
  constructor(capacity: number) {
    this.#descriptors = new Array<StorageDescriptor>(capacity);
    this.#refs = new Array<StorageRef>(capacity);
  }

  /** The place of `ref`, which is described when it is new. What it says of its place is true only when it stands there. */
  indexOf(ref: StorageRef): number {
    const known = ref.listedAt;
    if (known >= 0 && this.#refs[known] === ref) return known;
    const index = this.#count;
    this.#count += 1;
    ref.listedAt = index;
    this.#refs[index] = ref;
    this.#descriptors[index] = describeStorage(ref);
    return index;
  }

  /** All of them; none may be added afterwards. */
  finish(): readonly StorageDescriptor[] {
    this.#descriptors.length = this.#count;
    return this.#descriptors;
  }
}

function describeTensor(name: string, ref: TensorRef, storage: number, extra: boolean): TensorDescriptor {
  const { dtype, shape, stride, storageOffset } = ref;
  const plain = { name, dtype, shape, stride, storageOffset, storage };
  // Nearly all tensors end here: copying fields over is what makes describing 100 000 of them slow.
  if (ref.plain && !extra) return plain;
  return {
    ...plain,
    ...(ref.conj ? { conj: true } : {}),
    ...(ref.neg ? { neg: true } : {}),
    ...(ref.requiresGrad ? { requiresGrad: true } : {}),
    ...(ref.origin === "tensor" ? {} : { origin: ref.origin }),
    ...(extra ? { extra: true } : {}),
  };
}

/** A storage that makes its pieces describes itself: with a description that keeps them, a file of many small tensors takes twice as much. */
function describeStorage(ref: StorageRef): StorageDescriptor {
  if (ref.makesPieces) return ref;
  const { nbytes, pieces, swapBytes, savedDevice, meta } = ref;
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
