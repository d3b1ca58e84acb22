/** Memory that is about to be written from end to end. */
import { readEnvironment } from "../environment/environment.ts";
import { Storage } from "../tensor/storage.ts";
import { nativeMemory } from "./native-memory.ts";

/** Below this the call costs more than the faults it saves, and loading the kernel door more than both. */
const POPULATE_BYTES_MIN = 4 * 2 ** 20;

/** Zeroed bytes whose pages are taken in one call: first writes that fault page by page cost a fifth more than the copy itself needs. */
export function freshStorage(nbytes: number): Storage {
  const storage = Storage.allocate(nbytes);
  if (nbytes >= POPULATE_BYTES_MIN) nativeMemory(readEnvironment().noMmap)?.populate(storage.bytes(0, 1), nbytes);
  return storage;
}
