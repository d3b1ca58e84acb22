/** What a load will do, as plain data: equal for equal inputs on every node (law L6), printable before a byte is read. */
import type { StoragePlacement } from "../memory/segment.ts";

/** A segment before it exists. */
export type SegmentPlan =
  | {
      /** A window of an immutable file, mapped in place. */
      readonly kind: "file";
      /** Index into the manifest's sources. */
      readonly source: number;
      readonly offset: number;
      readonly nbytes: number;
    }
  | {
      /** Memory that the owner fills: sources that may be rewritten, compressed, byte-swapped, assembled or misaligned storages. */
      readonly kind: "memory";
      readonly nbytes: number;
    };

/** Where every storage goes. */
export interface LoadPlan {
  readonly segments: readonly SegmentPlan[];
  /** One per storage of the manifest; null for storages without bytes (meta). */
  readonly placements: readonly (StoragePlacement | null)[];
  /** Bytes of storages that are used where they lie. */
  readonly mappedBytes: number;
  /** Bytes of storages that must be brought into memory. */
  readonly copiedBytes: number;
}
