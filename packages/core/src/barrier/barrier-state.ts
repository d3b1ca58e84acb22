/**
 * What a coordinator knows about its barriers. Plain immutable data: a step makes a new state and leaves the old one alone.
 *
 * One name, generation by generation (generations of different names do not know each other):
 *
 * ```
 *              first arrival            every participant arrived
 *   (nothing) ───────────────► open ─────────────────────────────► decided: pass ─┐
 *       │                       │                                                 ├─► (nothing), generation + 1
 *       │ member ahead, abort   │ loss, leave, restart, mismatch, failed arrival, │
 *       └───────────────────────┴──── member ahead, abort, deadline ► decided: fail ┘
 * ```
 *
 * A decision never changes. The last 64 of each name answer those who ask late; older ones are out of range.
 */
import { UsageError } from "../errors/checkpoint-error.ts";
import type { BarrierDecision, FailureCause } from "./barrier-decision.ts";
import type { LossKind, MemberPlace } from "./barrier-event.ts";

/** Decisions kept per name. A member can be behind by at most one generation unless messages were lost for very long. */
export const DECISIONS_KEPT = 64;
/** Names with state. Generations are counted per name, so a loop needs one name, not one per step. */
export const BARRIER_NAMES_MAX = 4096;
/** Length of a name or digest, in characters. */
export const BARRIER_TEXT_MAX = 256;
/** Members described in full in a failure; all others by rank. */
export const REPORTS_MAX = 64;
/** Failures listed behind the first one. */
export const LATER_CAUSES_MAX = 8;
/** Ranks of one job. */
export const WORLD_SIZE_MAX = 65_536;

/** One rank and the process that has it. */
export interface BarrierMember {
  readonly rank: number;
  /** Absent members never joined; they are waited for like the others. */
  readonly status: "absent" | "present" | "lost" | "left";
  /** Of the newest process; -1 while absent. */
  readonly incarnation: number;
  readonly place: MemberPlace | null;
  readonly phase: string;
  /** Time of the last join, arrival or progress. */
  readonly progressMs: number | null;
  /** Decisions made before this process joined are not its own; 0 for the first process of the rank. */
  readonly joinedAfter: number;
  readonly loss?: { readonly kind: LossKind; readonly reason: string };
}

/** A generation with at least one arrival and no decision. */
export interface OpenGeneration {
  readonly name: string;
  readonly generation: number;
  /** Ascending. */
  readonly participants: readonly number[];
  /** Whether the participants were listed (compared as text between arrivals) or everybody was meant. */
  readonly listed: boolean;
  /** By position in `participants`. */
  readonly arrived: readonly boolean[];
  readonly arrivedCount: number;
  /** Of the first arrival that was not a failure. */
  readonly digest: { readonly rank: number; readonly value: string } | null;
  readonly openedMs: number;
  readonly timeoutMs: number;
  readonly firstRank: number;
}

/** A name between generations. */
export interface SettledName {
  /** The generation that is open or comes next. */
  readonly nextGeneration: number;
  /** Ascending by generation, without gaps, ending at `nextGeneration - 1`. */
  readonly decisions: readonly BarrierDecision[];
}

/** The whole machine. */
export interface BarrierState {
  readonly epoch: number;
  /** The newer epoch that was seen; from then on nothing is decided here. */
  readonly supersededBy: number | null;
  /** By rank. */
  readonly members: readonly BarrierMember[];
  readonly open: ReadonlyMap<string, OpenGeneration>;
  readonly names: ReadonlyMap<string, SettledName>;
  /** Decisions made in this epoch. */
  readonly sequence: number;
  /** Set by an abort; the first cause, then at most 8 later ones. */
  readonly abort: { readonly cause: FailureCause; readonly later: readonly FailureCause[] } | null;
  /** When the timer was asked for; never later than the earliest deadline. */
  readonly timerDueMs: number | null;
}

/**
 * A fresh epoch in which nobody has joined yet.
 * @throws {UsageError} RANKCAST_USAGE when the world is empty or above 65,536 ranks, or the epoch is no whole number.
 */
export function createBarrierState({ epoch, worldSize }: { readonly epoch: number; readonly worldSize: number }): BarrierState {
  if (!Number.isInteger(worldSize) || worldSize < 1 || worldSize > WORLD_SIZE_MAX) {
    throw new UsageError("RANKCAST_USAGE", `a barrier needs 1 to ${WORLD_SIZE_MAX} ranks, not ${worldSize}`, { details: { worldSize } });
  }
  if (!Number.isSafeInteger(epoch) || epoch < 0) {
    throw new UsageError("RANKCAST_USAGE", `an epoch is a whole number, not ${epoch}`, { details: { epoch } });
  }
  const members = Array.from({ length: worldSize }, (_, rank): BarrierMember => {
    return { rank, status: "absent", incarnation: -1, place: null, phase: "", progressMs: null, joinedAfter: 0 };
  });
  return { epoch, supersededBy: null, members, open: new Map(), names: new Map(), sequence: 0, abort: null, timerDueMs: null };
}
