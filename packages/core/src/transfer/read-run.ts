/** What all tasks of one transfer share. */
import type { ByteSource } from "../source/byte-source.ts";
import type { ReadStats } from "../source/counting-source.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { ScratchPool } from "./scratch-pool.ts";

/** The surroundings of a task. */
export interface ReadRun {
  readonly sources: readonly ByteSource[];
  readonly budget: ByteBudget;
  readonly scratch: ScratchPool;
  readonly stats: ReadStats;
  readonly verify: boolean;
  /** Aborted by the caller, or because another task failed. */
  readonly signal: AbortSignal;
  /** Counts decoded bytes that have reached their place. */
  readonly advance: (nbytes: number) => void;
}

/** Fills `target` from `source`, counted. */
export async function readCounted(run: ReadRun, source: ByteSource, target: Uint8Array, offset: number): Promise<void> {
  run.stats.requests += 1;
  await source.readInto(target, offset, run.signal);
  run.stats.bytesRead += target.length;
}

/** The file of index `index`. @throws {RangeError} when there is none: the manifest was not validated. */
export function sourceAt({ sources }: ReadRun, index: number): ByteSource {
  const source = sources[index];
  if (!source) throw new RangeError(`a piece is in file ${index}, there are ${sources.length}`);
  return source;
}
