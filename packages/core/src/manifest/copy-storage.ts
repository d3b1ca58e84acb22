/** Copies of descriptions of storages. Spreading one is no copy: a description may make what it says only when it is asked (`StorageRef`). */
import type { StorageDescriptor } from "./manifest.ts";

/** `storage` as plain fields, with `changes` in place of what it says. */
export function copyStorage(storage: StorageDescriptor, changes: Partial<StorageDescriptor> = {}): StorageDescriptor {
  const { nbytes, swapBytes, savedDevice, meta } = storage;
  const pieces = changes.pieces ?? storage.pieces;
  return { nbytes, swapBytes, savedDevice, ...(meta ? { meta } : {}), ...changes, pieces };
}
