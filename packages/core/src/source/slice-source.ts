/** A window of another source, for a checkpoint inside a file (a record of an archive, a nested stream). */
import type { ByteSource } from "./byte-source.ts";
import { truncated } from "./file-source.ts";

/**
 * The bytes `[begin, begin + length)` of `source` as a source of their own. The window does not own `source`: closing it does nothing.
 * @throws {SourceError} RANKCAST_SOURCE_TRUNCATED when the window leaves the source.
 */
export function sliceSource(source: ByteSource, begin: number, length: number, name: string = source.name): ByteSource {
  if (begin < 0 || length < 0 || begin + length > source.sizeBytes) {
    throw truncated(name, begin, length, Math.max(0, source.sizeBytes - begin), source.sizeBytes);
  }
  return {
    name,
    sizeBytes: length,
    version: { sizeBytes: length },
    async readInto(target, offset, signal) {
      if (offset < 0 || offset + target.length > length) {
        throw truncated(name, offset, target.length, Math.max(0, Math.min(target.length, length - offset)), length);
      }
      await source.readInto(target, begin + offset, signal);
    },
    async close() {},
  };
}
