/** Fills this node's stripes from the origin: few large reads, two at a time, in memory that is used again. */
import { type BroadcastOffer, type ChunkSet, layoutChunks } from "@rankcast/core/runtime";
import type { StripeReader } from "./node-broadcast.ts";

/** Reads that are under way or not yet taken over by the filling thread. */
const READS = 2;
const READ_BYTES_MAX = 16 * 2 ** 20;

/** Stripes being filled. */
export interface StripeFeed {
  /** Rejects when a read failed; never resolves. */
  readonly failed: Promise<never>;
  /** The filling thread has a chunk's bytes in their place. */
  taken(chunk: number): void;
  /** Starts no further read. */
  stop(): void;
}

interface Run {
  readonly first: number;
  readonly segment: number;
  readonly offset: number;
  readonly lengths: number[];
  length: number;
}

/** Reads the chunks of `own` and hands each on. */
export function fillStripes(
  offer: BroadcastOffer,
  own: ChunkSet,
  read: StripeReader,
  hand: (chunk: number, bytes: Uint8Array) => void,
): StripeFeed {
  const runs = joinRuns(offer, own);
  const cancel = new AbortController();
  const untaken = new Map<number, () => void>();
  const work = async (): Promise<void> => {
    const memory = new SharedArrayBuffer(Math.max(offer.chunkBytes, READ_BYTES_MAX));
    for (let run = runs.shift(); run !== undefined && !cancel.signal.aborted; run = runs.shift()) {
      await read(run.segment, run.offset, new Uint8Array(memory, 0, run.length), cancel.signal);
      const { first, lengths } = run;
      const waits = lengths.map((_, at) => new Promise<void>((resolve) => untaken.set(first + at, resolve)));
      let at = 0;
      lengths.forEach((length, index) => {
        hand(first + index, new Uint8Array(memory, at, length));
        at += length;
      });
      await Promise.all(waits);
    }
  };
  const workers = Array.from({ length: READS }, work);
  const failed = Promise.all(workers).then(() => new Promise<never>(() => undefined));
  // Whoever is interested listens; a stop makes reads fail on purpose.
  failed.catch(() => undefined);
  return {
    failed,
    taken(chunk) {
      untaken.get(chunk)?.();
      untaken.delete(chunk);
    },
    stop: () => cancel.abort(),
  };
}

/** Neighbouring chunks of one segment as one read. */
function joinRuns(offer: BroadcastOffer, own: ChunkSet): Run[] {
  const layout = layoutChunks(offer);
  const runs: Run[] = [];
  for (let index = 0; index < layout.count; index += 1) {
    if (!own.has(index)) continue;
    const { segment, offset, length } = layout.chunk(index);
    const last = runs.at(-1);
    const joins = last && last.segment === segment && last.first + last.lengths.length === index && last.length + length <= READ_BYTES_MAX;
    if (joins) {
      last.lengths.push(length);
      last.length += length;
    } else runs.push({ first: index, segment, offset, lengths: [length], length });
  }
  return runs;
}
