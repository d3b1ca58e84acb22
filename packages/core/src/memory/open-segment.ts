/** Opening a described segment: the file or memory that was meant, or an error. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { SourceError, TensorError } from "../errors/checkpoint-error.ts";
import type { SegmentDescriptor } from "./segment.ts";

/**
 * A descriptor for reading; the caller closes it.
 * @throws {TensorError} RANKCAST_SEGMENT_GONE when the segment's owner has ended.
 * @throws {SourceError} RANKCAST_SOURCE_CHANGED when a file is not the planned one.
 */
export function openSegment(segment: SegmentDescriptor): number {
  let fd: number;
  try {
    fd = openSync(segment.path, "r");
  } catch (cause) {
    throw new TensorError("RANKCAST_SEGMENT_GONE", `the ${segment.kind} segment of ${segment.nbytes} bytes cannot be opened`, {
      details: { kind: segment.kind, nbytes: segment.nbytes },
      cause,
    });
  }
  const stat = fstatSync(fd);
  const same =
    segment.kind === "file"
      ? stat.size === segment.sizeBytes && stat.mtimeMs === segment.mtimeMs && stat.ino === segment.inode
      : stat.size === segment.nbytes;
  if (same) return fd;
  closeSync(fd);
  const expected = segment.kind === "file" ? segment.sizeBytes : segment.nbytes;
  throw new SourceError(
    "RANKCAST_SOURCE_CHANGED",
    `a ${segment.kind} segment changed: expected ${expected} bytes as planned, found ${stat.size}`,
    {
      details: { kind: segment.kind, expectedBytes: expected, foundBytes: stat.size },
    },
  );
}
