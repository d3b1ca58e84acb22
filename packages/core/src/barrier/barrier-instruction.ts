/** What the machine asks its driver to do. The driver sends and sets timers; it decides nothing. */
import type { BarrierDecision, FailureCause } from "./barrier-decision.ts";

/** Why a message was not taken. None of these changes a generation, except that a member ahead of the others fails theirs. */
export type RefusalReason =
  /** The message is from an older epoch. */
  | "stale-epoch"
  /** A newer epoch exists: this coordinator must not decide anything any more. */
  | "superseded"
  /** Another process has this rank now, or this one was lost or has left. */
  | "fenced"
  | "unknown-rank"
  | "not-joined"
  /** The generation was decided before this process joined. */
  | "before-join"
  /** Decided too long ago: only the last 64 generations of a name are kept. */
  | "out-of-range"
  | "ahead"
  | "not-a-participant"
  | "malformed"
  | "too-many-names";

/** Tell everyone: a generation is decided. */
export interface DecideInstruction {
  readonly type: "decide";
  readonly decision: BarrierDecision;
  /** Ranks that wait at the barrier. */
  readonly waiting: readonly number[];
  /** Ranks that take part, are present, and have not arrived: a failure spares them the way there. Empty for a pass. */
  readonly busy: readonly number[];
}

/** Tell one rank, which asked again, what was decided. */
export interface ReplyInstruction {
  readonly type: "reply";
  readonly rank: number;
  readonly incarnation: number;
  readonly decision: BarrierDecision;
}

/** Tell the sender that its message was not taken, and which epoch is current. */
export interface RefuseInstruction {
  readonly type: "refuse";
  readonly rank: number;
  readonly incarnation: number;
  readonly reason: RefusalReason;
  readonly epoch: number;
  /** The barrier it asked for, when it was an arrival. */
  readonly name?: string;
  readonly generation?: number;
}

/** Tell a member that it is in, and with which generation each name goes on (a name that is not listed starts with 1). */
export interface AdmitInstruction {
  readonly type: "admit";
  readonly rank: number;
  readonly incarnation: number;
  readonly epoch: number;
  readonly generations: readonly (readonly [name: string, generation: number])[];
}

/** Cut the connection of this process: it has been replaced and must not go on. */
export interface FenceInstruction {
  readonly type: "fence";
  readonly rank: number;
  readonly incarnation: number;
}

/** Tell every present member that the round is over, whether it is at a barrier or not. */
export interface AbortedInstruction {
  readonly type: "aborted";
  readonly cause: FailureCause;
  readonly ranks: readonly number[];
}

/** Send a timer event at `dueMs`. There is one timer; a new time replaces the old one. */
export interface SetTimerInstruction {
  readonly type: "setTimer";
  readonly dueMs: number;
}

/** Nothing waits any more: the timer may go. */
export interface ClearTimerInstruction {
  readonly type: "clearTimer";
}

/** Close every connection: epoch `epoch` exists elsewhere. What is undecided here stays undecided. */
export interface StopInstruction {
  readonly type: "stop";
  readonly epoch: number;
}

/** Everything the machine can ask for. */
export type BarrierInstruction =
  | DecideInstruction
  | ReplyInstruction
  | RefuseInstruction
  | AdmitInstruction
  | FenceInstruction
  | AbortedInstruction
  | SetTimerInstruction
  | ClearTimerInstruction
  | StopInstruction;
