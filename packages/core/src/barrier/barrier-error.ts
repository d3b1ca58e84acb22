/** Decisions as people and programs meet them: an error with the same root cause on every rank, and one line while waiting. */
import { CheckpointError, DistributionError, type ErrorDetail, type ErrorDetails, UsageError } from "../errors/checkpoint-error.ts";
import { ERROR_CODES, type ErrorCode } from "../errors/error-codes.ts";
import { type ErrorRecord, fromErrorRecord } from "../errors/error-record.ts";
import { printable, quote } from "../errors/quote.ts";
import { rankRanges } from "../topology/rank-ranges.ts";
import type { FailDecision, FailureCause, MemberList, MemberReport } from "./barrier-decision.ts";
import type { RefusalReason } from "./barrier-instruction.ts";

/** What a failure is called, and whose it is. */
interface Verdict {
  readonly code: ErrorCode;
  readonly text: string;
  /** The member whose failure it is; null when it is nobody's in particular. */
  readonly member: MemberReport | null;
  /** The error the member brought. */
  readonly error?: ErrorRecord;
}

/**
 * The error of a failed generation: alike on every rank. A member's own error keeps its class and code (a strict mismatch on rank 3 is
 * a state-dict error everywhere); `details.rootCause` says whose it was, `details.missing` which ranks had not arrived.
 */
export function decisionError(decision: FailDecision): CheckpointError {
  const { cause, missing, name, generation, epoch, later } = decision;
  const verdict = verdictOf(cause);
  const details: ErrorDetails = {
    ...verdict.error?.details,
    barrier: name,
    generation,
    epoch,
    missing: missing.ranks,
    members: [...new Map([...membersOf(cause), ...missing.reports].map((report) => [report.rank, detailOf(report)])).values()],
    waitedMs: decision.decidedMs - decision.openedMs,
    // A failure that is itself the consequence of another one keeps pointing at that.
    rootCause: verdict.error?.details?.["rootCause"] ?? rootCauseOf(verdict),
    ...(later.length === 0 ? {} : { later: later.map((each) => rootCauseOf(verdictOf(each))) }),
  };
  const where = `barrier ${quote(name)}, generation ${generation}: `;
  if (verdict.error === undefined) return new DistributionError(verdict.code, where + verdict.text, { details });
  const original = fromErrorRecord(verdict.error);
  const remedy = original instanceof CheckpointError ? { remedy: original.remedy } : {};
  const context = { details, cause: original, ...remedy };
  const text = verdict.member === null ? verdict.text : `${describeMember(verdict.member, false)}: ${verdict.text}`;
  // Rebuilt through the record so that the class follows the code: every rank sees the error the failing one saw.
  if (original instanceof CheckpointError) {
    const Class = original.constructor as typeof CheckpointError;
    return new Class(original.code, text, context);
  }
  return new DistributionError(verdict.code, text, context);
}

/**
 * The error of a message that was not taken.
 */
export function refusalError(
  reason: RefusalReason,
  barrier: { readonly name: string; readonly generation: number; readonly epoch: number },
): DistributionError {
  const [code, text] = REFUSALS[reason];
  return new DistributionError(code, `barrier ${quote(barrier.name)}, generation ${barrier.generation}: ${text}`, {
    details: { barrier: barrier.name, generation: barrier.generation, epoch: barrier.epoch, reason },
  });
}

/** The error of a second call while the first one of that name waits. */
export function busyError(name: string): UsageError {
  return new UsageError("RANKCAST_BARRIER_BUSY", `barrier ${quote(name)}: this rank is already waiting at it`, {
    details: { barrier: name },
  });
}

/** A member with everything known of it: `rank 3 (node 1, host-b, pid 4242), in phase "broadcast", no progress for 12.4 s`. */
export function describeMember(member: MemberReport, progress = true): string {
  const { rank, place, status, phase, silentMs, loss } = member;
  const at = place === null ? "" : ` (node ${place.nodeRank}, ${printable(place.host)}, pid ${place.pid})`;
  if (status === "absent" && loss === undefined) return `rank ${rank}${at}, which never joined`;
  if (!progress) return `rank ${rank}${at}`;
  const doing = phase === "" ? "" : `, in phase ${quote(phase)}`;
  if (loss !== undefined) return `rank ${rank}${at}${doing}, which ${LOSSES[loss.kind]}: ${printable(loss.reason)}`;
  return `rank ${rank}${at}${doing}${silentMs === null ? "" : `, no progress for ${(silentMs / 1000).toFixed(1)} s`}`;
}

const LOSSES = {
  exited: "exited",
  killed: "was killed",
  disconnected: "lost its connection",
  unresponsive: "is not responding",
} as const;

const REFUSALS: Record<RefusalReason, readonly [ErrorCode, string]> = {
  "stale-epoch": ["RANKCAST_FENCED", "the job goes on in a newer epoch without this process"],
  superseded: ["RANKCAST_COORDINATOR_LOST", "this coordinator has been replaced by one of a newer epoch"],
  fenced: ["RANKCAST_FENCED", "this process was given up or replaced and must not go on"],
  "unknown-rank": ["RANKCAST_PROTOCOL", "this rank is outside the world"],
  "not-joined": ["RANKCAST_PROTOCOL", "this process has not joined"],
  "before-join": ["RANKCAST_PROTOCOL", "it was decided before this process joined"],
  "out-of-range": ["RANKCAST_PROTOCOL", "it was decided too long ago to be remembered"],
  ahead: ["RANKCAST_BARRIER_MISMATCH", "this rank is ahead: the others are at an earlier generation"],
  "not-a-participant": ["RANKCAST_BARRIER_MISMATCH", "this rank does not take part in it"],
  malformed: ["RANKCAST_PROTOCOL", "the arrival is malformed (name, generation, participants or timeout)"],
  "too-many-names": ["RANKCAST_BARRIER_NAMES", "too many different barrier names"],
};

function verdictOf(cause: FailureCause): Verdict {
  switch (cause.kind) {
    case "timeout":
      return listed("RANKCAST_BARRIER_TIMEOUT", cause.stalled, `no progress within ${cause.timeoutMs / 1000} s from`);
    case "loss":
      return listed("RANKCAST_RANK_LOST", cause.lost, "lost");
    case "left":
      return listed("RANKCAST_RANK_LEFT", cause.left, "the group was closed before this by", false);
    case "restart":
      return {
        code: "RANKCAST_RANK_LOST",
        text: `${describeMember(cause.member, false)} was replaced by a new process`,
        member: cause.member,
      };
    case "mismatch": {
      const { about, first, other } = cause;
      const sides = `${describeMember(first.member, false)} says ${quote(first.value)}, ${describeMember(other.member, false)} says ${quote(other.value)}`;
      return { code: "RANKCAST_BARRIER_MISMATCH", text: `ranks disagree about its ${about}: ${sides}`, member: other.member };
    }
    case "ahead": {
      const text = `${describeMember(cause.member, false)} is already at generation ${cause.generation}: it left out a barrier`;
      return { code: "RANKCAST_BARRIER_MISMATCH", text, member: cause.member };
    }
    case "failed":
      return { code: "RANKCAST_RANK_FAILED", text: textOf(cause.error), member: cause.member, error: cause.error };
    case "abort":
      return { code: "RANKCAST_RANK_ABORTED", text: textOf(cause.error), member: cause.member, error: cause.error };
    case "reset":
      return { code: "RANKCAST_EPOCH_ENDED", text: `the launcher started epoch ${cause.epoch}`, member: null };
  }
}

/** A foreign error's name says as much as its message; ours has a code for that. */
function textOf({ name, message, code }: ErrorRecord): string {
  return code !== undefined && ERROR_CODES.has(code as ErrorCode) ? message : `${name}: ${message}`;
}

/** One sentence about several members: all ranks as ranges, and one of them in full. */
function listed(code: ErrorCode, { ranks, reports }: MemberList, text: string, progress = true): Verdict {
  const [first] = reports;
  if (first === undefined) return { code, text: `${text} ranks ${rankRanges(ranks)}`, member: null };
  const whole = describeMember(first, progress);
  return {
    code,
    text: ranks.length === 1 ? `${text} ${whole}` : `${text} ranks ${rankRanges(ranks)}, first of them ${whole}`,
    member: first,
  };
}

function rootCauseOf({ code, text, member, error }: Verdict): ErrorDetail {
  const { rank = null, place = null } = member ?? {};
  const known = error?.code !== undefined && ERROR_CODES.has(error.code as ErrorCode) ? error.code : code;
  return { rank, nodeRank: place?.nodeRank ?? null, host: place?.host ?? null, pid: place?.pid ?? null, code: known, message: text };
}

function membersOf(cause: FailureCause): readonly MemberReport[] {
  switch (cause.kind) {
    case "timeout":
      return cause.stalled.reports;
    case "loss":
      return cause.lost.reports;
    case "left":
      return cause.left.reports;
    case "mismatch":
      return [cause.first.member, cause.other.member];
    case "restart":
    case "ahead":
      return [cause.member];
    case "failed":
    case "abort":
      return cause.member === null ? [] : [cause.member];
    case "reset":
      return [];
  }
}

function detailOf({ rank, place, status, phase, silentMs, loss }: MemberReport): ErrorDetail {
  const at = place ?? { localRank: null, nodeRank: null, host: null, pid: null };
  const { localRank, nodeRank, host, pid } = at;
  return {
    rank,
    localRank,
    nodeRank,
    host,
    pid,
    status,
    phase,
    silentMs,
    ...(loss === undefined ? {} : { loss: loss.kind, reason: loss.reason }),
  };
}
