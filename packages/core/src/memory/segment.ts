/**
 * Waist 2: runs of shared bytes that hold storages. A segment is described by plain data that crosses processes; each consumer
 * attaches it for itself. Segments are written once, before they are described to anyone (law L4).
 */

/** How a consumer in any process of this node reaches the bytes. */
export type SegmentDescriptor =
  | {
      /** A range of an immutable file, mapped in place: no copy exists. */
      readonly kind: "file";
      readonly path: string;
      /** Multiple of `MAP_ALIGNMENT_BYTES`. */
      readonly offset: number;
      readonly nbytes: number;
      /** Checked when attaching, so that a replaced file is an error and not other weights. */
      readonly sizeBytes: number;
      readonly mtimeMs: number;
      readonly inode: number;
    }
  | {
      /** Sealed anonymous memory of another process, reached through its descriptor. Lives as long as the owner holds it. */
      readonly kind: "memfd";
      readonly path: string;
      readonly nbytes: number;
    };

/** Where a storage lies; `byteOffset` counts from the start of the segment. */
export interface StoragePlacement {
  readonly segment: number;
  readonly byteOffset: number;
  readonly nbytes: number;
}
