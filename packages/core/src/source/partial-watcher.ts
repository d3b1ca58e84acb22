/** Somebody who reads a partial file while it is written. */
import type { ByteRange } from "./byte-range.ts";
import type { PartialFile } from "./partial-file.ts";

/** What a partial file tells, and what its writers ask. */
export interface PartialWatcher {
  /** The file's size and version are known; bytes of it may be there already. Told again when the download goes on after a failure. */
  begun(partial: PartialFile): void;
  /** More bytes are there. */
  grown(): void;
  /** All bytes were dropped. */
  dropped(): void;
  /** Whether it waits for some of these bytes, so that they should be written now and not in larger pieces later. */
  awaits(range: ByteRange): boolean;
  /** Calls `listener` whenever it begins to wait for other bytes. Returns what ends that. */
  onAwaited(listener: () => void): () => void;
}
