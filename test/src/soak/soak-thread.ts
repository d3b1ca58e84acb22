/**
 * Runs at the start of every thread of a soaking rank (`--import`): collects garbage at intervals and tells what the thread's heap holds then. Without it a
 * heap that is only not collected yet looks like one that grows.
 */
import { getHeapStatistics } from "node:v8";
import { BroadcastChannel, threadId } from "node:worker_threads";

/** What a thread holds after a collection. */
export interface ThreadHeap {
  readonly threadId: number;
  /** Bytes of live objects. */
  readonly usedBytes: number;
  /** Pages that the heap occupies. */
  readonly occupiedBytes: number;
}

/** Where threads tell. */
export const HEAPS_CHANNEL = "soak-heaps";
/** How often. */
export const COLLECT_MS = 2000;

const channel = new BroadcastChannel(HEAPS_CHANNEL);
channel.unref();
setInterval(() => {
  globalThis.gc?.();
  const { used_heap_size: usedBytes, total_physical_size: occupiedBytes } = getHeapStatistics();
  channel.postMessage({ threadId, usedBytes, occupiedBytes } satisfies ThreadHeap);
}, COLLECT_MS).unref();
