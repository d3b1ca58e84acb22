/** Carries casts out: from attached segments into memory of this process or of another thread of it. */
import { closeSync, openSync } from "node:fs";
import { attachStorages } from "../memory/attach-storages.ts";
import type { NativeMemory } from "../memory/native-memory.ts";
import type { SegmentDescriptor, StoragePlacement } from "../memory/segment.ts";
import { copyInto } from "../tensor/copy.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A run of elements to cast; plain data that crosses threads. */
export interface CastRun {
  readonly from: DType;
  readonly to: DType;
  readonly count: number;
  /** Where the stored elements lie. */
  readonly source: StoragePlacement;
  readonly target: StoragePlacement;
}

/** What runs refer to. */
export interface CastPlaces {
  readonly sources: readonly SegmentDescriptor[];
  /** Writable memory files of this process by descriptor, with their sizes. */
  readonly targets: readonly { readonly fd: number; readonly nbytes: number }[];
}

/**
 * Casts every run. `breathe` is awaited between runs, for callers that share their thread.
 * @throws {CheckpointError} as `attachStorages`; whatever `breathe` throws. Nothing stays mapped for writing.
 */
export async function castRuns(
  runs: readonly CastRun[],
  places: CastPlaces,
  native: NativeMemory,
  breathe: () => Promise<void>,
): Promise<void> {
  const { storages } = attachStorages(
    places.sources,
    runs.map(({ source }) => source),
    native,
  );
  const targets = places.targets.map(({ fd, nbytes }) => mapTarget(fd, nbytes, native));
  try {
    for (const [index, { from, to, count, target }] of runs.entries()) {
      const [source, memory] = [storages[index], targets[target.segment]];
      if (!source || !memory) throw new RangeError(`a cast goes to segment ${target.segment}, there are ${targets.length}`);
      const goal = new Storage(memory.buffer, target.byteOffset, target.nbytes);
      copyInto(new Tensor({ dtype: to, shape: [count], storage: goal }), new Tensor({ dtype: from, shape: [count], storage: source }));
      await breathe();
    }
  } finally {
    for (const { unmap } of targets) unmap();
  }
}

function mapTarget(fd: number, nbytes: number, native: NativeMemory): ReturnType<NativeMemory["mapShared"]> {
  const own = openSync(`/proc/self/fd/${fd}`, "r+");
  try {
    return native.mapShared(own, nbytes);
  } finally {
    closeSync(own);
  }
}

/** Cuts a storage's cast into runs of about `runBytes` stored bytes, so that threads share the work evenly. */
export function cutCast(
  cast: { readonly from: DType; readonly count: number; readonly target: StoragePlacement },
  source: StoragePlacement,
  to: DType,
  runBytes: number,
): CastRun[] {
  const { from, count, target } = cast;
  const step = Math.max(1, Math.floor(runBytes / bytesOf(from, 1)));
  const runs: CastRun[] = [];
  for (let first = 0; first < count; first += step) {
    const size = Math.min(step, count - first);
    runs.push({
      from,
      to,
      count: size,
      source: { ...source, byteOffset: source.byteOffset + bytesOf(from, first), nbytes: bytesOf(from, size) },
      target: { ...target, byteOffset: target.byteOffset + bytesOf(to, first), nbytes: bytesOf(to, size) },
    });
  }
  return runs;
}
