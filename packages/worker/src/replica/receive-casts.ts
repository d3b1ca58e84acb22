/** Casts that the node has made once, as the tensors a load can take instead of casting for itself. */
import { type DType, type Storage, Tensor } from "@rankcast/core";
import { attachStorages, castPlacements, nativeMemory, type StateDictManifest } from "@rankcast/core/runtime";
import type { Delivery } from "./delivery.ts";

/** What a replica knows of casts. */
export interface ReceivedCasts {
  /** Row-major view of the cast of `source`, null when there is none. */
  castOf(source: Tensor, dtype: DType): Tensor | null;
  readonly castStorages: readonly Storage[];
}

const NONE: ReceivedCasts = { castOf: () => null, castStorages: [] };

/**
 * Maps the casts of a delivery, copy-on-write like everything; `storages` are those of the manifest as this replica has them.
 * @throws {CheckpointError} as `attachStorages`.
 */
export function receiveCasts({ placed, windows }: Delivery, manifest: StateDictManifest, storages: readonly Storage[]): ReceivedCasts {
  const { casts } = placed;
  const native = nativeMemory(false);
  // Where nothing is mapped, reading a cast costs as much as making it.
  if (!casts || windows !== null || native === null) return NONE;
  const placements = castPlacements(casts, manifest);
  const attached = attachStorages(casts.segments, placements, native).storages;
  const bySource = new Map(storages.flatMap((storage, index) => (placements[index] ? [[storage, attached[index]] as const] : [])));
  return {
    castStorages: attached.filter((_, index) => placements[index] !== null),
    castOf(source, dtype) {
      const storage = bySource.get(source.storage);
      if (!storage || dtype !== casts.dtype || source.conj || source.neg || !source.isContiguous) return null;
      const { shape, storageOffset, savedDevice } = source;
      return new Tensor({ dtype, shape, storageOffset, storage, savedDevice });
    },
  };
}
