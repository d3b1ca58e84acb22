/** Bytes of a segment for sending: a view of the mapped pages, or a read into a buffer that is used again. */
import { closeSync, readSync } from "node:fs";
import { SourceError } from "../errors/checkpoint-error.ts";
import type { NativeMemory } from "./native-memory.ts";
import { openSegment } from "./open-segment.ts";
import type { SegmentDescriptor } from "./segment.ts";

/** Random access to a segment, which may still be filled elsewhere in this process. */
export interface SegmentBytes {
  /**
   * Bytes from `offset`. `buffer` is asked for memory of at least `length` bytes where nothing can be mapped.
   * @throws {SourceError} RANKCAST_SOURCE_TRUNCATED
   */
  view(offset: number, length: number, buffer: () => Uint8Array): Uint8Array;
  /** Gives the memory back; views must be gone, those that sockets hold too. Safe to call twice. */
  close(): void;
}

/**
 * Opens a segment. @throws {TensorError} RANKCAST_SEGMENT_GONE, RANKCAST_MEMORY_MAP; {SourceError} RANKCAST_SOURCE_CHANGED.
 */
export function openSegmentBytes(segment: SegmentDescriptor, native: NativeMemory | null): SegmentBytes {
  const base = segment.kind === "file" ? segment.offset : 0;
  const fd = openSegment(segment);
  if (native !== null && segment.nbytes > 0) {
    try {
      const { buffer: mapped, unmap } = native.mapForReading(fd, base, segment.nbytes);
      let held = true;
      return {
        view: (offset, length) => new Uint8Array(mapped, offset, length),
        close() {
          if (held) unmap();
          held = false;
        },
      };
    } finally {
      closeSync(fd);
    }
  }
  let open = true;
  return {
    view(offset, length, buffer) {
      const target = buffer().subarray(0, length);
      for (let at = 0; at < length; ) {
        const read = readSync(fd, target, at, length - at, base + offset + at);
        if (read === 0) {
          throw new SourceError("RANKCAST_SOURCE_TRUNCATED", `a segment ended at byte ${base + offset + at}`, {
            details: { offset: base + offset + at },
          });
        }
        at += read;
      }
      return target;
    },
    close() {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
