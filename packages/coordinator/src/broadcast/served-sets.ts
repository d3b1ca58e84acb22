/** Segments as the serving thread reads them: those that are kept stay open from one broadcast to the next. */
import { type NativeMemory, openSegmentBytes, type SegmentBytes } from "@rankcast/core/runtime";
import type { Arrived } from "./incoming.ts";

interface OpenSet {
  readonly segments: readonly SegmentBytes[];
  users: number;
  isKept: boolean;
}

/** See the module comment. */
export class ServedSets {
  readonly #native: NativeMemory | null;
  readonly #kept = new Map<string, OpenSet>();

  constructor(native: NativeMemory | null) {
    this.#native = native;
  }

  /** Opens segments, or finds them open. @throws {TensorError} RANKCAST_SEGMENT_GONE, RANKCAST_MEMORY_MAP; {SourceError} RANKCAST_SOURCE_CHANGED. */
  open({ descriptors, set }: Arrived): { readonly segments: readonly SegmentBytes[]; close(): void } {
    const known = set === null ? undefined : this.#kept.get(set);
    const opened = known ?? {
      segments: descriptors.map((descriptor) => openSegmentBytes(descriptor, this.#native)),
      users: 0,
      isKept: set !== null,
    };
    if (set !== null) this.#kept.set(set, opened);
    opened.users += 1;
    return {
      segments: opened.segments,
      close: () => {
        opened.users -= 1;
        closeUnused(opened);
      },
    };
  }

  /** The memory is given back by its owner. */
  forget(set: string): void {
    const opened = this.#kept.get(set);
    this.#kept.delete(set);
    if (!opened) return;
    opened.isKept = false;
    closeUnused(opened);
  }
}

function closeUnused({ users, isKept, segments }: OpenSet): void {
  if (users === 0 && !isKept) for (const segment of segments) segment.close();
}
