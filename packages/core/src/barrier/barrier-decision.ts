/** What a barrier can end with. A decision is made once, recorded, and handed to everyone who asks. */
import type { ErrorRecord } from "../errors/error-record.ts";
import type { LossKind, MemberPlace } from "./barrier-event.ts";

/** What is known of a member when it is named in a failure. */
export interface MemberReport {
  readonly rank: number;
  /** Null for a rank that never joined. */
  readonly place: MemberPlace | null;
  readonly status: "absent" | "present" | "lost" | "left";
  /** The last phase it reported; empty when it reported none. */
  readonly phase: string;
  /** Milliseconds since its last sign of progress; null when there was none. */
  readonly silentMs: number | null;
  /** How and why it was lost. */
  readonly loss?: { readonly kind: LossKind; readonly reason: string };
}

/** Members by rank; `reports` holds at most the first 64 so that a decision stays small in a large world. */
export interface MemberList {
  readonly ranks: readonly number[];
  readonly reports: readonly MemberReport[];
}

/** Why a generation failed. */
export type FailureCause =
  /** Nobody of `stalled` showed progress in time. */
  | { readonly kind: "timeout"; readonly timeoutMs: number; readonly stalled: MemberList }
  | { readonly kind: "loss"; readonly lost: MemberList }
  | { readonly kind: "left"; readonly left: MemberList }
  /** A new process took the rank while others waited for the old one. */
  | { readonly kind: "restart"; readonly member: MemberReport; readonly incarnation: number; readonly replacedBy: number }
  /** Two members mean different things by the same barrier. */
  | {
      readonly kind: "mismatch";
      readonly about: "digest" | "participants";
      readonly first: { readonly member: MemberReport; readonly value: string };
      readonly other: { readonly member: MemberReport; readonly value: string };
    }
  /** A member arrived with a failure, or the coordinator itself failed (`member` null): the error is everybody's. */
  | { readonly kind: "failed"; readonly member: MemberReport | null; readonly error: ErrorRecord }
  /** A member is generations ahead: it skipped a barrier the others are at. */
  | { readonly kind: "ahead"; readonly member: MemberReport; readonly generation: number; readonly expected: number }
  | { readonly kind: "abort"; readonly member: MemberReport | null; readonly error: ErrorRecord }
  | { readonly kind: "reset"; readonly epoch: number };

interface Decided {
  readonly epoch: number;
  readonly name: string;
  readonly generation: number;
  /** Position among all decisions of the epoch, from 1. */
  readonly sequence: number;
  /** Ascending ranks; null when everybody took part. */
  readonly participants: readonly number[] | null;
  /** When the first member arrived; equal to `decidedMs` when it failed before anybody did. */
  readonly openedMs: number;
  readonly decidedMs: number;
}

/** Every participant arrived. */
export interface PassDecision extends Decided {
  readonly outcome: "pass";
  readonly firstRank: number;
  /** The straggler: it arrived last, `decidedMs - openedMs` after the first. */
  readonly lastRank: number;
}

/** Nobody passes. */
export interface FailDecision extends Decided {
  readonly outcome: "fail";
  readonly cause: FailureCause;
  /** Participants that had not arrived: exactly those. */
  readonly missing: MemberList;
  /** What failed after the cause, in order; the first 8. They never become the cause. */
  readonly later: readonly FailureCause[];
}

/** The outcome of one generation, the same for everyone. */
export type BarrierDecision = PassDecision | FailDecision;
