/** How a launch that did not succeed is told. */
import { constants } from "node:os";
import type { ErrorCode, ErrorDetail, ErrorDetails } from "@rankcast/core";
import { asCheckpointError, CheckpointError, DistributionError, ERROR_CODES, fromErrorRecord } from "@rankcast/core/launcher";
import { renderFailureTable } from "./failure-table.ts";
import type { RankFailure } from "./launch-event.ts";
import { type LaunchOutcome, rootFailure } from "./supervisor-state.ts";

/**
 * The error of a launch. A rank's own error keeps its class and code; `details.table` is torchelastic's text, `details.rootCause` whose
 * failure came first, `details.exitCode` what the launcher's process should end with.
 */
export function launchError(outcome: Exclude<LaunchOutcome, { type: "success" }>, script: string, cause?: unknown): CheckpointError {
  if (outcome.type === "interrupted") return interruptError(outcome, cause);
  const root = rootFailure(outcome.failures);
  if (root === null) return asCheckpointError(outcome.error ?? new Error("a launch failed without a failure"));
  const details: ErrorDetails = {
    rootCause: causeOf(root),
    failures: outcome.failures.map(causeOf),
    table: renderFailureTable(script, outcome.failures, root),
    exitCode: 1,
  };
  // A failure on another node that ended this one's ranks came before theirs.
  if (outcome.error !== null) {
    const elsewhere = asCheckpointError(outcome.error);
    return rebuild(elsewhere, elsewhere.message, { ...details, ...elsewhere.details });
  }
  const own = root.error === null ? null : fromErrorRecord(root.error);
  const text = `rank ${root.rank} (node ${root.nodeRank}, ${root.host}, pid ${root.pid ?? "none"})`;
  // An error that went through a barrier already says whose it was.
  if (own instanceof CheckpointError && own.details["rootCause"] !== undefined)
    return rebuild(own, own.message, { ...details, ...own.details });
  if (own instanceof CheckpointError) return rebuild(own, `${text}: ${own.message}`, { ...own.details, ...details });
  const why = own === null ? endOf(root) : `${own.name}: ${own.message}`;
  const context = { details, ...(own === null ? {} : { cause: own }) };
  return new DistributionError(
    root.signal === null ? "RANKCAST_RANK_FAILED" : "RANKCAST_RANK_LOST",
    `${text} ${own === null ? why : `failed: ${why}`}`,
    context,
  );
}

/** What the launcher's process should end with: 128 + n after a signal, 2 for wrong usage, else 1. */
export function launchExitCode(error: unknown): number {
  if (!(error instanceof CheckpointError)) return 1;
  const { exitCode } = error.details;
  return typeof exitCode === "number" ? exitCode : error.class === "usage" ? 2 : 1;
}

function interruptError({ signal, by }: Extract<LaunchOutcome, { type: "interrupted" }>, cause: unknown): DistributionError {
  const exitCode = 128 + constants.signals[signal];
  const context = { details: { signal, exitCode }, ...(cause === undefined ? {} : { cause }) };
  if (by === "caller") return new DistributionError("RANKCAST_CANCELLED", "the launch was cancelled; all ranks have ended", context);
  return new DistributionError("RANKCAST_INTERRUPTED", `the launcher received ${signal}; all ranks have ended`, context);
}

function rebuild(error: CheckpointError, message: string, details: ErrorDetails): CheckpointError {
  const Class = error.constructor as typeof CheckpointError;
  return new Class(error.code, message, { details, cause: error.cause ?? error, remedy: error.remedy });
}

/** How a rank ended when it said nothing. */
function endOf({ exitCode, signal, pid, message }: RankFailure): string {
  if (pid === null) return `could not be started: ${message}`;
  return signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
}

function causeOf(failure: RankFailure): ErrorDetail {
  const { rank, localRank, nodeRank, host, pid, exitCode, signal, errorFile, message, error, failedUnixMs } = failure;
  const known = error?.code !== undefined && ERROR_CODES.has(error.code as ErrorCode);
  const code = known ? (error?.code ?? "") : signal === null ? "RANKCAST_RANK_FAILED" : "RANKCAST_RANK_LOST";
  return { rank, localRank, nodeRank, host, pid, code, message: error?.message ?? message, exitCode, signal, errorFile, failedUnixMs };
}
