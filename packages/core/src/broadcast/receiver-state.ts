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
 * It pulls from one source at a time, over a link of one connection or several. A connection that breaks while another of the link lives costs
 * only itself. A source whose last connection breaks is asked again once and then passed over. One that is silent much
 * longer than chunks usually take is doubted, and questions go out, one after the other: to the source itself, over a fresh connection,
 * and then to the others, nearest first, how much they have of what is missing here. Another becomes the source when the present one does
 * not answer, or has clearly less. A source that is only waiting for its own is left alone: repairing that link is its business, and a
 * chain in which everybody behind a gap looked for a new source at once would become a star.
 */
import { ChunkSet } from "./chunk-set.ts";

/** What the machine is told. */
export interface ReceiverOptions {
  readonly chunkCount: number;
  /** Chunks this node fills itself; they arrive as `own`. */
  readonly own: ChunkSet;
  /** From whom to pull, best first. */
  readonly sources: readonly number[];
  /** Connections of a link. */
  readonly connections: number;
  /** A source that sends nothing is never doubted earlier. */
  readonly doubtMs: number;
  /** One from which bytes come, but no chunk gets complete, is never doubted earlier. */
  readonly slowMs: number;
  /** How long the first chunk may take before the source is doubted. */
  readonly firstChunkMs: number;
  /** No new byte for this long fails the broadcast. */
  readonly giveUpMs: number;
  /** Wrong bytes for one chunk more often than this fail it. */
  readonly corruptionsMax: number;
}

/** Defaults of the times above. */
export const RECEIVER_TIMES = { doubtMs: 250, slowMs: 2000, firstChunkMs: 1000, giveUpMs: 30_000, corruptionsMax: 3 } as const;

/** What is known of one source. */
export interface SourceRecord {
  /** Breaks in a row without a chunk between them. */
  readonly breaks: number;
  readonly retryMs: number;
  readonly reason: string | null;
  /** How often it was left for another. */
  readonly changes: number;
  /** When to ask whether it is ahead again. */
  readonly returnMs: number;
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

/** A question to a source how much it has of what is missing. */
export interface OpenProbe {
  readonly source: number;
  readonly dueMs: number;
  /** What the present source answered; null when it did not. */
  readonly held: number | null;
  /** Sources not asked yet in this round. */
  readonly rest: readonly number[];
  /** Asks a better placed source that was left. */
  readonly back: boolean;
}

/** The connections to the source, by numbers that are not used again in the link. */
export interface LinkState {
  readonly open: ReadonlySet<number>;
  /** Number of the next one. */
  readonly next: number;
  /** Breaks since one that was opened again has brought a chunk. */
  readonly breaks: number;
  /** When one that broke is opened again; null: it is not. */
  readonly reopenMs: number | null;
}

const NO_LINK: LinkState = { open: new Set(), next: 0, breaks: 0, reopenMs: null };

/** The whole machine. */
export interface ReceiverState {
  readonly options: ReceiverOptions;
  readonly phase: "receiving" | "complete" | "failed";
  readonly received: ChunkSet;
  /** Whom chunks are pulled from. */
  readonly source: number | null;
  readonly link: LinkState;
  readonly records: ReadonlyMap<number, SourceRecord>;
  readonly probe: OpenProbe | null;
  /** Usual time between two chunks. */
  readonly intervalMs: number | null;
  /** Last new chunk, or change of the source. */
  readonly quietSinceMs: number;
  readonly lastChunkMs: number | null;
  /** Last byte of anything. */
  readonly lastByteMs: number;
  /** Rounds of questions without a chunk since; each doubles the time to the next. */
  readonly rounds: number;
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
    link: NO_LINK,
    records: new Map(),
    probe: null,
    intervalMs: null,
    quietSinceMs: nowMs,
    lastChunkMs: null,
    lastByteMs: nowMs,
    rounds: 0,
    corruptions: new Map(),
    failure: null,
    timerDueMs: null,
  };
}

/** What is still to be pulled. */
export function wantedChunks({ received, options }: ReceiverState): ChunkSet {
  return received.complement().minus(options.own);
}

/** Patience with a source from which no byte comes ends after this part of the time after which the broadcast fails. */
const SILENT_PART = 8;

/**
 * When the source is doubted if nothing more comes. While bytes of a chunk arrive, patience doubles without end: on a slow link each change
 * of the source costs the bytes of a part of a chunk. Without any byte it has a bound, so that many sources are tried before all is lost.
 */
export function doubtDueMs(state: ReceiverState): number {
  const { options, quietSinceMs, rounds } = state;
  const patience = 2 ** rounds;
  const slowMs = Math.max(options.slowMs, 4 * usualMs(state));
  return Math.min(
    quietSinceMs + slowMs * patience,
    silentSinceMs(state) + Math.min(usualMs(state) * patience, options.giveUpMs / SILENT_PART),
  );
}

/** Since when no byte has come from the source. */
export function silentSinceMs({ quietSinceMs, lastByteMs }: ReceiverState): number {
  return Math.max(quietSinceMs, lastByteMs);
}

/** How long silence may be before it is remarkable. */
export function usualMs({ options, intervalMs }: ReceiverState): number {
  return intervalMs === null ? options.firstChunkMs : Math.max(options.doubtMs, 4 * intervalMs);
}
