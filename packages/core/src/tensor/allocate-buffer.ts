/** Memory from JavaScript's own allocator, whose refusal is a typed error. */
import { TensorError } from "../errors/checkpoint-error.ts";

/**
 * `nbytes` zeroed bytes of this thread.
 * @throws {TensorError} RANKCAST_MEMORY_FULL when the process gets not that much.
 */
export function allocateOwn(nbytes: number): ArrayBuffer {
  return allocate(() => new ArrayBuffer(nbytes), nbytes);
}

/**
 * `nbytes` zeroed bytes that all threads can see.
 * @throws {TensorError} RANKCAST_MEMORY_FULL when the process gets not that much.
 */
export function allocateShared(nbytes: number): SharedArrayBuffer {
  return allocate(() => new SharedArrayBuffer(nbytes), nbytes);
}

function allocate<T>(make: () => T, nbytes: number): T {
  try {
    return make();
  } catch (cause) {
    // A bare RangeError ("Array buffer allocation failed") would cross processes as a defect of rankcast's.
    throw new TensorError("RANKCAST_MEMORY_FULL", `this process gets no ${nbytes} bytes of memory`, { details: { nbytes }, cause });
  }
}
