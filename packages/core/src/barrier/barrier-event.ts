/** What can happen to a barrier: plain data, one time per event, so that a run can be recorded and replayed. */
import type { ErrorRecord } from "../errors/error-record.ts";

/** Where a member runs; shown when it is missing. */
export interface MemberPlace {
  readonly localRank: number;
  readonly nodeRank: number;
  readonly host: string;
  readonly pid: number;
}

/** How a member was lost. A frozen one may be alive, so it is called unresponsive, not dead. */
export type LossKind = "exited" | "killed" | "disconnected" | "unresponsive";

/** What a member brings to the barrier. One failure decides for all. */
export type ArrivalOutcome = { readonly type: "ok" } | { readonly type: "failed"; readonly error: ErrorRecord };

/** A member enters the epoch, or a new process takes its place (larger incarnation). */
export interface JoinEvent {
  readonly type: "join";
  readonly nowMs: number;
  readonly epoch: number;
  readonly rank: number;
  /** Grows with every process that takes this rank; tells a restarted process from a late message of the old one. */
  readonly incarnation: number;
  readonly place: MemberPlace;
}

/** A member says goodbye. It stays expected: a barrier after that fails at once instead of waiting for it. */
export interface LeaveEvent {
  readonly type: "leave";
  readonly nowMs: number;
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;
}

/** The coordinator or launcher noticed that a member is gone. `incarnation` null means whichever process has the rank. */
export interface LossEvent {
  readonly type: "loss";
  readonly nowMs: number;
  /** The epoch the process was in: news of an earlier one may come late. */
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number | null;
  readonly loss: LossKind;
  /** For people: `exit code 1`, `SIGKILL`, `no sign of life for 10.5 s`. */
  readonly reason: string;
}

/** A member is at the barrier. Repeating it changes nothing. */
export interface ArriveEvent {
  readonly type: "arrive";
  readonly nowMs: number;
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;
  readonly name: string;
  /** 1 for the first use of the name in the epoch, then one more each time. */
  readonly generation: number;
  /** What the barrier is about. Members that disagree are in different code paths: the generation fails. */
  readonly digest: string;
  /** Ascending ranks that take part; null means every member. The first arrival decides, the others must agree. */
  readonly participants: readonly number[] | null;
  /** How long a missing member may show no progress once the first one has arrived. The first arrival's value counts. */
  readonly timeoutMs: number;
  readonly outcome: ArrivalOutcome;
}

/** A member is busy with something; extends the time others wait for it. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly nowMs: number;
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;
  readonly phase: string;
}

/** The coordinator's own part of the work failed (a download for all ranks): the barrier fails for everyone, present or not. */
export interface FailEvent {
  readonly type: "fail";
  readonly nowMs: number;
  readonly epoch: number;
  readonly name: string;
  /** The generation the work was for; null for the one that is open or comes next. A generation that is decided stays so. */
  readonly generation: number | null;
  readonly error: ErrorRecord;
}

/** The round cannot succeed any more. Sticky until a reset; the first cause is the cause. */
export interface AbortEvent {
  readonly type: "abort";
  readonly nowMs: number;
  readonly epoch: number;
  /** The rank that asked for it; null for the coordinator itself. */
  readonly rank: number | null;
  readonly error: ErrorRecord;
}

/** The time asked for by `setTimer` has come (or any other: early and spurious timers do no harm). */
export interface TimerEvent {
  readonly type: "timer";
  readonly nowMs: number;
}

/** The launcher starts a new epoch: everything undecided fails, members and generations start anew. */
export interface ResetEvent {
  readonly type: "reset";
  readonly nowMs: number;
  readonly epoch: number;
  readonly worldSize: number;
}

/** Everything that can happen. `nowMs` comes from one monotonic clock and never decreases. */
export type BarrierEvent =
  | JoinEvent
  | LeaveEvent
  | LossEvent
  | ArriveEvent
  | ProgressEvent
  | FailEvent
  | AbortEvent
  | TimerEvent
  | ResetEvent;
