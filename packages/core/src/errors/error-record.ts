/** The one way an error crosses a thread, a process or a wire. */
import { CheckpointError, ERROR_CLASSES, type ErrorDetails } from "./checkpoint-error.ts";
import { ERROR_CODES, type ErrorCode } from "./error-codes.ts";
import { buildForeignError, describeThrown, type ForeignParts, foreignParts } from "./foreign-errors.ts";

/** An error as plain data. `code` is absent for foreign errors (a user's TypeError, say). */
export interface ErrorRecord extends ForeignParts {
  readonly name: string;
  readonly message: string;
  readonly code?: string;
  readonly remedy?: string;
  readonly details?: ErrorDetails;
  readonly stack?: string;
  readonly cause?: ErrorRecord;
  /** Of an AggregateError, the first ones. */
  readonly errors?: readonly ErrorRecord[];
}

const CAUSE_DEPTH_MAX = 16;
const ERRORS_MAX = 16;
/** Errors of an aggregate may be aggregates themselves: two levels hold what can be told. */
const AGGREGATE_DEPTH = CAUSE_DEPTH_MAX / 2;

/** Turns anything thrown into plain data; keeps name, class, code, fields, stack and the chain of causes (at most 16 deep). Never throws. */
export function toErrorRecord(error: unknown, depth = 0): ErrorRecord {
  if (!(error instanceof Error)) return { name: "Error", message: describeThrown(error) };
  const code = (error as { code?: unknown }).code;
  const record = {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof error.stack === "string" ? { stack: error.stack } : {}),
    ...(error.cause !== undefined && depth < CAUSE_DEPTH_MAX ? { cause: toErrorRecord(error.cause, depth + 1) } : {}),
  };
  return error instanceof CheckpointError
    ? { ...record, remedy: error.remedy, details: error.details }
    : { ...record, ...foreignParts(error), ...errorsOf(error, depth) };
}

function errorsOf(error: Error, depth: number): { readonly errors?: readonly ErrorRecord[] } {
  const errors: unknown = error instanceof AggregateError ? error.errors : undefined;
  return Array.isArray(errors) && depth < CAUSE_DEPTH_MAX
    ? { errors: errors.slice(0, ERRORS_MAX).map((each) => toErrorRecord(each, depth + AGGREGATE_DEPTH)) }
    : {};
}

/**
 * Rebuilds an error of the same class with the same code, fields and causes. Of classes that are neither ours nor the language's the name is
 * kept, and the language's class they extend.
 */
export function fromErrorRecord(record: ErrorRecord): Error {
  const cause = record.cause === undefined ? undefined : fromErrorRecord(record.cause);
  const subclass = ERROR_CLASSES.get(record.name);
  const known = subclass !== undefined && record.code !== undefined && ERROR_CODES.has(record.code as ErrorCode);
  const error = known
    ? new subclass(record.code as ErrorCode, record.message, {
        ...(record.details ? { details: record.details } : {}),
        ...(record.remedy === undefined ? {} : { remedy: record.remedy }),
        ...(cause === undefined ? {} : { cause }),
      })
    : Object.assign(
        buildForeignError(record.name, record.message, record, { cause, errors: (record.errors ?? []).map(fromErrorRecord) }),
        record.code === undefined ? {} : { code: record.code },
      );
  if (record.stack !== undefined) error.stack = record.stack;
  return error;
}

/** The error itself when it is ours, else ours around it (`RANKCAST_INTERNAL`), so that every rejection has a code. */
export function asCheckpointError(error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return error;
  if (error instanceof Error && error.name === "AbortError")
    return new CheckpointError("RANKCAST_CANCELLED", "cancelled", { cause: error });
  const text = error instanceof Error ? `${error.name}: ${error.message}` : describeThrown(error);
  return new CheckpointError("RANKCAST_INTERNAL", text, { cause: error });
}

/** What `--json` prints on failure and what logs hold: the public face of an error, without stacks. */
export function describeError(error: unknown): {
  code: string;
  class: string;
  message: string;
  remedy: string;
  details: ErrorDetails;
  cause?: { code?: string; message: string };
} {
  const ours = asCheckpointError(error);
  const cause = ours.cause instanceof Error ? ours.cause : undefined;
  const causeCode = (cause as { code?: unknown } | undefined)?.code;
  return {
    code: ours.code,
    class: ours.class,
    message: ours.message,
    remedy: ours.remedy,
    details: ours.details,
    ...(cause ? { cause: { ...(typeof causeCode === "string" ? { code: causeCode } : {}), message: cause.message } } : {}),
  };
}
