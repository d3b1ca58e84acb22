/** A manifest with `mapLocation` applied: storages that are not to be read lose their bytes, shared ones are listed. */
import { copyStorage } from "../manifest/copy-storage.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { CompiledMapLocation } from "../map-location/compile-map-location.ts";

/** The manifest as it is to be loaded. */
export interface LocatedManifest {
  readonly manifest: StateDictManifest;
  /** Storages (by index) of which all replicas of a process use one writable copy. */
  readonly shared: readonly number[];
}

/**
 * Applies the rule once per storage, in order.
 * @throws {UsageError} RANKCAST_MAP_LOCATION when a function in the rule answers with an unknown device or a wrong type.
 */
export function locateStorages(manifest: StateDictManifest, mapLocation: CompiledMapLocation): LocatedManifest {
  const locations = mapLocation.locate(manifest.storages);
  const shared: number[] = [];
  const storages = manifest.storages.map((storage, index) => {
    const memory = locations[index]?.memory;
    if (memory === "shared") shared.push(index);
    return memory === "none" && !storage.meta ? copyStorage(storage, { pieces: [], meta: true }) : storage;
  });
  return { manifest: { ...manifest, storages }, shared };
}
