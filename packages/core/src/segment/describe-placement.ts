/** Placements as a flat array of numbers, because JSON of 100 000 objects is slow. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { SegmentDescriptor, StoragePlacement } from "../memory/segment.ts";
import type { PlacedCasts } from "./plan-casts.ts";

/** Segments and where storages lie in them, as it crosses processes. */
export interface PlacedSegments {
  readonly segments: readonly SegmentDescriptor[];
  /** Two numbers per storage of the manifest: segment index (-1 for meta storages) and byte offset. */
  readonly flat: readonly number[];
  /** Storages of which all replicas of a process use one writable copy; usually none. */
  readonly shared: readonly number[];
  /** Casts beside the stored bytes; filled by the time a load may be committed. */
  readonly casts?: PlacedCasts;
  /** Set for weight updates whose segments are filled again and again. */
  readonly reuse?: SegmentReuse;
  /** The user's opaque label of an update. */
  readonly version?: string;
  /** The round that told ranks what was here before all was, and right to the end: what they copied ahead holds the bytes of these segments. */
  readonly foreseen?: number;
  /** Set when the bytes came from another node: what went over the network. */
  readonly travelled?: { readonly bytes: number; readonly encoding: "full" | "delta" };
}

/** Which of a layout's sets of segments holds the weights. Consumers that know the layout keep their mappings and plans. */
export interface SegmentReuse {
  /** Equal as long as names, types, shapes and placements are. */
  readonly layout: string;
  /**
   * Names the memory, whatever it holds by now. Sets are used in turn: one is written again only after every replica has gone on to another. Null:
   * this node keeps nothing, what is attached is of this generation only.
   */
  readonly set: string | null;
  /**
   * What every rank has from the update before: `nothing` (a new layout: manifest and segments come now), `layout` (the manifest is left
   * out, the set is new), `set` (mapped and planned already: replicas only swap).
   */
  readonly known: "nothing" | "layout" | "set";
}

/** The wire form of placements. */
export function flattenPlacements(
  segments: readonly SegmentDescriptor[],
  placements: readonly (StoragePlacement | null)[],
  shared: readonly number[] = [],
): PlacedSegments {
  const flat = new Array<number>(placements.length * 2);
  placements.forEach((placement, index) => {
    flat[2 * index] = placement?.segment ?? -1;
    flat[2 * index + 1] = placement?.byteOffset ?? 0;
  });
  return { segments, flat, shared };
}

/**
 * Placements of a wire form, checked against the manifest and the segments.
 * @throws {RangeError} when they do not belong together; the sender is another process of the same job, so this is a defect, not an attack.
 */
export function unflattenPlacements(placed: PlacedSegments, manifest: StateDictManifest): (StoragePlacement | null)[] {
  if (placed.flat.length !== manifest.storages.length * 2) {
    throw new RangeError(`${placed.flat.length / 2} placements for ${manifest.storages.length} storages`);
  }
  return manifest.storages.map(({ nbytes }, index) => {
    const segment = placed.flat[2 * index] ?? -1;
    const byteOffset = placed.flat[2 * index + 1] ?? 0;
    if (segment === -1) return null;
    const described = placed.segments[segment];
    if (!described || byteOffset < 0 || byteOffset + nbytes > described.nbytes) {
      throw new RangeError(`storage ${index} lies outside segment ${segment}`);
    }
    return { segment, byteOffset, nbytes };
  });
}
