/** One shape of published weights: its manifest, and sets of segments with the tensors that write into them. */
import { createHash, randomUUID } from "node:crypto";
import { compileLimits, type StateDict, Storage, Tensor, TensorError } from "@rankcast/core";
import {
  encodeManifest,
  flattenPlacements,
  type LoadPlan,
  type MemorySegment,
  manifestDigest,
  manifestFromStateDict,
  type OrderWish,
  type PlacedSegments,
  planLoad,
  quote,
  type StateDictManifest,
  type TensorCopier,
  type TensorCopy,
} from "@rankcast/core/runtime";

/** Makes memory of this size for its one writer. */
export type CreateSegment = (nbytes: number) => MemorySegment;

interface SegmentSet {
  readonly id: string;
  readonly segments: readonly MemorySegment[];
  /** One per storage of the manifest; null where it has no bytes. */
  readonly targets: readonly (Tensor | null)[];
}

/** See the module comment. */
export class PublicationLayout {
  /** Digest of names, types, shapes and places: layouts of other ranks are equal when these are. */
  readonly id: string;
  /** msgpack. */
  readonly manifest: Uint8Array;
  readonly #described: StateDictManifest;
  readonly #plan: LoadPlan;
  readonly #createSegment: CreateSegment;
  readonly #copier: TensorCopier;
  readonly #order: OrderWish;
  readonly #sets: (SegmentSet | undefined)[] = [];

  /**
   * `order`: that of the elements where replicas have one of their own.
   * @throws {TensorError} RANKCAST_TENSOR_META for a tensor without bytes: replicas would keep what they have and nobody would hear of it.
   */
  constructor(stateDict: StateDict, createSegment: CreateSegment, copier: TensorCopier, order: OrderWish = new Map()) {
    for (const [name, tensor] of stateDict) if (tensor.isMeta) throw withoutBytes(name);
    const { manifest } = manifestFromStateDict(stateDict, order);
    this.#order = order;
    this.#described = manifest;
    this.#plan = planLoad(manifest, compileLimits());
    this.#createSegment = createSegment;
    this.#copier = copier;
    this.manifest = encodeManifest(manifest);
    const places = JSON.stringify([this.#plan.placements, this.#plan.segments.map(({ nbytes }) => nbytes)]);
    this.id = createHash("sha256").update(this.manifest).update(places).digest("base64url");
  }

  /**
   * Whether `stateDict` has the same names in the same order, types, shapes and ties, so that only values of tensors differ. Extra state travels in the
   * manifest, so it must be the same but for its tensors.
   */
  fits(stateDict: StateDict): boolean {
    const { tensors, storages, metadataModules, extraState } = this.#described;
    if (stateDict.extraState.size > 0 || extraState.entries.length > 0) {
      return manifestDigest(manifestFromStateDict(stateDict, this.#order).manifest) === manifestDigest(this.#described);
    }
    if (stateDict.size !== tensors.length || stateDict.metadata.size !== metadataModules.length) return false;
    const first = new Map<number, Tensor>();
    let index = 0;
    for (const [name, tensor] of stateDict) {
      const described = tensors[index];
      index += 1;
      if (!described || described.name !== name || described.dtype !== tensor.dtype || !sameShape(described.shape, tensor.shape))
        return false;
      if ((described.requiresGrad ?? false) !== tensor.requiresGrad || (storages[described.storage]?.meta ?? false) !== tensor.isMeta)
        return false;
      const holder = first.get(described.storage);
      if (holder && !(holder.storage === tensor.storage && holder.storageOffset === tensor.storageOffset)) return false;
      if (!holder) first.set(described.storage, tensor);
    }
    return true;
  }

  /**
   * Writes the values into a set, which nobody may be looking at; sets are made on first use.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when its segments find no room.
   */
  write(stateDict: StateDict, set: number): { readonly placed: PlacedSegments; readonly setId: string } {
    this.#sets[set] ??= this.#createSet();
    const { id, targets, segments } = this.#sets[set] as SegmentSet;
    const copies = new Map<number, TensorCopy>();
    let index = 0;
    const tensors = stateDict.extraState.size === 0 ? stateDict.values() : manifestFromStateDict(stateDict).tensors;
    for (const tensor of tensors) {
      const storage = this.#described.tensors[index]?.storage ?? -1;
      const target = targets[storage];
      index += 1;
      if (target && !copies.has(storage)) copies.set(storage, { target, source: tensor });
    }
    this.#copier.copy([...copies.values()]);
    const descriptors = segments.map((segment) => segment.publish());
    return { placed: flattenPlacements(descriptors, this.#plan.placements), setId: id };
  }

  /** Gives the memory back; who has attached keeps its mappings. */
  release(): void {
    for (const set of this.#sets.splice(0)) for (const segment of set?.segments ?? []) segment.release();
  }

  #createSet(): SegmentSet {
    const segments = this.#plan.segments.map(({ nbytes }) => this.#createSegment(Math.max(nbytes, 1)));
    const described = new Map(this.#described.tensors.map((tensor) => [tensor.storage, tensor]));
    const targets = this.#plan.placements.map((placement, storage) => {
      const segment = placement ? segments[placement.segment] : undefined;
      const tensor = described.get(storage);
      if (!placement || !segment || !tensor) return null;
      const memory = new Storage(segment.buffer, placement.byteOffset, placement.nbytes);
      return new Tensor({ dtype: tensor.dtype, shape: tensor.shape, stride: tensor.stride, storage: memory });
    });
    return { id: randomUUID(), segments, targets };
  }
}

function withoutBytes(name: string): TensorError {
  return new TensorError("RANKCAST_TENSOR_META", `${quote(name)} of the published state dict has no bytes`, { details: { key: name } });
}

function sameShape(one: readonly number[], other: readonly number[]): boolean {
  return one.length === other.length && one.every((extent, dimension) => extent === other[dimension]);
}
