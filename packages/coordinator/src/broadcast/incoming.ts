/** Where the bytes of a broadcast go on this node: fresh segments, a set that is kept, or (a difference) through the first into the second. */
import { DistributionError } from "@rankcast/core";
import { createWrittenSegment, type NativeMemory, openSegmentBytes, type SegmentDescriptor } from "@rankcast/core/runtime";
import type { GenerationPlace, KeptGenerations } from "./kept-generations.ts";

/** How a broadcast that is received becomes a generation that is kept. Plain data. */
export interface KeptTarget {
  readonly place: GenerationPlace;
  /** Of the generation, also when a difference travels. */
  readonly segmentBytes: readonly number[];
  /** Null: the bytes travel whole; else their difference from this generation. */
  readonly base: number | null;
}

/** What became of it. Plain data. */
export interface Arrived {
  readonly descriptors: readonly SegmentDescriptor[];
  /** Names the memory when it is kept, so that consumers may keep what they attach. */
  readonly set: string | null;
}

/** See the module comment. */
export interface Incoming {
  /** What others can pull from here: the bytes as they travel. */
  readonly served: Arrived;
  write(segment: number, bytes: Uint8Array, offset: number): void;
  /** Everything is here and verified. @throws {CheckpointError} RANKCAST_DELTA, RANKCAST_MEMORY_FULL, RANKCAST_CANCELLED. */
  complete(): Promise<Arrived>;
  /** Gives handles back: whoever needs the bytes has opened them. */
  release(): void;
  /** It does not come to its end. */
  abandon(): void;
}

/** Fresh memory. @throws {TensorError} RANKCAST_MEMORY_FULL. */
export function incomingFresh(segmentBytes: readonly number[], native: NativeMemory | null): Incoming {
  const segments: ReturnType<typeof createWrittenSegment>[] = [];
  const release = (): void => {
    for (const segment of segments) segment.release();
  };
  try {
    for (const nbytes of segmentBytes) segments.push(createWrittenSegment(Math.max(nbytes, 1), native));
  } catch (error) {
    release();
    throw error;
  }
  return {
    served: { descriptors: segments.map(({ path, nbytes }) => ({ kind: "memfd", path, nbytes })), set: null },
    write: (segment, bytes, offset) => segments[segment]?.write(bytes, offset),
    complete: async () => ({ descriptors: segments.map((segment) => segment.publish()), set: null }),
    release,
    abandon: release,
  };
}

/** Straight into a set that is kept. @throws {TensorError} RANKCAST_MEMORY_FULL. */
export function incomingKept({ place, segmentBytes }: KeptTarget, kept: KeptGenerations): Incoming {
  const lineage = kept.open(place, segmentBytes);
  const { set, write } = lineage.fill(place.generation);
  let isWhole = false;
  const arrived = { descriptors: set.descriptors, set: set.id };
  return {
    served: arrived,
    write,
    complete: async () => {
      lineage.filled(place.generation);
      isWhole = true;
      return arrived;
    },
    release: () => undefined,
    abandon: () => {
      // A generation that is whole is dropped by whoever wanted it.
      if (!isWhole) kept.drop(place.lineage, place.generation);
    },
  };
}

/** A difference, which is put onto the generation it starts from when it is whole. @throws {TensorError} RANKCAST_MEMORY_FULL. */
export function incomingDelta(
  { place, segmentBytes, base }: KeptTarget & { readonly base: number },
  travels: readonly number[],
  kept: KeptGenerations | null,
  native: NativeMemory | null,
): Incoming {
  const fresh = incomingFresh(travels, native);
  return {
    ...fresh,
    complete: async () => {
      const { descriptors } = await fresh.complete();
      const [delta] = descriptors;
      if (!kept || !delta) throw new DistributionError("RANKCAST_DELTA", "a difference came to a node that keeps no generations");
      const lineage = kept.open(place, segmentBytes);
      const bytes = openSegmentBytes(delta, native);
      try {
        const set = await lineage.apply(
          place.generation,
          base,
          bytes.view(0, delta.nbytes, () => Buffer.allocUnsafeSlow(delta.nbytes)),
        );
        return { descriptors: set.descriptors, set: set.id };
      } catch (error) {
        kept.drop(place.lineage, place.generation);
        throw error;
      } finally {
        bytes.close();
      }
    },
  };
}
