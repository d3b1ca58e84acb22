/** Bytes at hand as a `ByteSource`. */
import type { ByteSource } from "./byte-source.ts";
import { truncated } from "./file-source.ts";

/** A source over `bytes`, which are not copied and must not change while it is read. `name` is for messages. */
export function memorySource(bytes: Uint8Array, name = "(memory)"): ByteSource {
  return {
    name,
    sizeBytes: bytes.length,
    version: { sizeBytes: bytes.length },
    async readInto(target, offset, signal) {
      signal?.throwIfAborted();
      const found = Math.max(0, Math.min(target.length, bytes.length - offset));
      if (found < target.length) throw truncated(name, offset, target.length, found, bytes.length);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    async close() {},
  };
}
