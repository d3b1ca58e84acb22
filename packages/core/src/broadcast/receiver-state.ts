/**
 * What a node knows of the broadcast it receives. Immutable; no clock, no sockets.
 *
 * ```
 *               every chunk is here
 *   receiving ─────────────────────► complete
 *       │ nothing came for giveUpMs, or one chunk was wrong too often
 *       └──────────────────────────► failed
 * ```
 *
 * It pulls from one source at a time. A source whose connection breaks is asked again once and then passed over; one that is silent much
 * longer than chunks usually take is doubted: others are asked, one after the other and nearest first, whether they have anything that
 * is missing here, and the first that does becomes the source. Asking one at a time is what keeps a chain a chain: behind a stalled
 * node only its successor finds a holder at once, and by the time the next ones would ask further, bytes flow again.
 */
import { ChunkSet } from "./chunk-set.ts";

/** What the machine is told. */
export interface ReceiverOptions {
  readonly chunkCount: number;
  /** Chunks this node fills itself; they arrive as `own`. */
  readonly own: ChunkSet;
  /** From whom to pull, best first. */
  readonly sources: readonly number[];
  /** A source is never doubted earlier. */
  readonly doubtMs: number;
  /** How long the first chunk may take before the source is doubted. */
  readonly firstChunkMs: number;
  /** No new byte for this long fails the broadcast. */
  readonly giveUpMs: number;
  /** Wrong bytes for one chunk more often than this fail it. */
  readonly corruptionsMax: number;
}

/** Defaults of the times above. */
export const RECEIVER_TIMES = { doubtMs: 150, firstChunkMs: 1000, giveUpMs: 30_000, corruptionsMax: 3 } as const;

/** What is known of one source. */
export interface SourceRecord {
  /** Breaks in a row without a chunk between them. */
  readonly breaks: number;
  readonly retryMs: number;
  readonly reason: string | null;
}

/** Why a broadcast failed on this node. */
export type ReceiverFailure =
  | {
      readonly kind: "stalled";
      readonly silentMs: number;
      readonly missing: number;
      readonly sources: readonly { readonly nodeRank: number; readonly reason: string | null }[];
    }
  | { readonly kind: "corrupt"; readonly chunk: number; readonly source: number; readonly times: number };

/** A question to a source whether it has what is missing. */
export interface OpenProbe {
  readonly source: number;
  readonly dueMs: number;
  /** Sources not asked yet in this round. */
  readonly rest: readonly number[];
}

/** The whole machine. */
export interface ReceiverState {
  readonly options: ReceiverOptions;
  readonly phase: "receiving" | "complete" | "failed";
  readonly received: ChunkSet;
  /** Whom chunks are pulled from. */
  readonly source: number | null;
  readonly records: ReadonlyMap<number, SourceRecord>;
  readonly probe: OpenProbe | null;
  /** Usual time between two chunks. */
  readonly intervalMs: number | null;
  /** Last new chunk, or change of the source. */
  readonly quietSinceMs: number;
  readonly lastChunkMs: number | null;
  /** Last byte of anything. */
  readonly lastByteMs: number;
  /** Doubts without result double the time to the next one. */
  readonly patience: number;
  readonly corruptions: ReadonlyMap<number, number>;
  readonly failure: ReceiverFailure | null;
  readonly timerDueMs: number | null;
}

/** A node that has nothing yet. */
export function createReceiverState(options: ReceiverOptions, nowMs: number): ReceiverState {
  return {
    options,
    phase: "receiving",
    received: ChunkSet.none(options.chunkCount),
    source: null,
    records: new Map(),
    probe: null,
    intervalMs: null,
    quietSinceMs: nowMs,
    lastChunkMs: null,
    lastByteMs: nowMs,
    patience: 1,
    corruptions: new Map(),
    failure: null,
    timerDueMs: null,
  };
}

/** What is still to be pulled. */
export function wantedChunks({ received, options }: ReceiverState): ChunkSet {
  return received.complement().minus(options.own);
}

/** How long the source may be silent now. */
export function doubtAfterMs({ options, intervalMs, patience }: ReceiverState): number {
  return (intervalMs === null ? options.firstChunkMs : Math.max(options.doubtMs, 4 * intervalMs)) * patience;
}
