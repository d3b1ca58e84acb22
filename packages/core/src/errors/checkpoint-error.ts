/** The error class that everything in rankcast throws, and its subclasses by area. */
import type { ErrorClass } from "./error-code-row.ts";
import { ERROR_CODES, type ErrorCode } from "./error-codes.ts";

/** Plain data that explains an error: survives JSON, threads and wires. */
export type ErrorDetail = string | number | boolean | null | readonly ErrorDetail[] | { readonly [name: string]: ErrorDetail };
/** Typed fields of an error. Common names: `file`, `record`, `offset`, `key`, `expected`, `found`, `rank`. */
export type ErrorDetails = { readonly [name: string]: ErrorDetail };

/** What a thrower may add to code and message. */
export interface ErrorContext {
  /** Typed fields; shown by `--json`. */
  readonly details?: ErrorDetails;
  /** The error underneath. */
  readonly cause?: unknown;
  /** Replaces the table's remedy when the thrower knows something better. */
  readonly remedy?: string;
}

const MARK = Symbol.for("rankcast.CheckpointError");

/**
 * Base of every error rankcast throws on purpose. `instanceof` works across copies of the package in one process, and the error
 * crosses threads, processes and wires whole through `toErrorRecord`/`fromErrorRecord`.
 *
 * The message says where and what, expected and found; it quotes and caps untrusted text, and holds no secret. `remedy` says what to do.
 */
export class CheckpointError extends Error {
  /** Stable identifier of the failure. */
  readonly code: ErrorCode;
  /** Kind of refusal. */
  readonly class: ErrorClass;
  /** One sentence: what the reader can do. */
  readonly remedy: string;
  /** Typed fields. */
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    const row = ERROR_CODES.get(code);
    this.code = code;
    this.class = row?.class ?? "internal";
    this.details = context.details ?? {};
    this.remedy = context.remedy ?? row?.remedyFor?.(this.details) ?? row?.remedy ?? "";
    this.name = new.target.name;
    Object.defineProperty(this, MARK, { value: true });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    const marked = typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[MARK] === true;
    // biome-ignore lint/complexity/noThisInStatic: subclasses inherit this method and must compare with themselves.
    return marked && (this === CheckpointError || Function.prototype[Symbol.hasInstance].call(this, value));
  }
}

/** An option or argument is wrong. */
export class UsageError extends CheckpointError {}
/** The bytes could not be had: missing file, network, cache, disk. */
export class SourceError extends CheckpointError {}
/** The bytes are not a checkpoint we accept. */
export class FormatError extends CheckpointError {}
/** Tensors or shared memory cannot be made as asked. */
export class TensorError extends CheckpointError {}
/** The state dict does not fit the model or the request. */
export class StateDictError extends CheckpointError {}
/** Another rank, replica or the coordinator failed, or the distributed protocol was broken. */
export class DistributionError extends CheckpointError {}

/** Name to class, for rebuilding an error from its record. */
export const ERROR_CLASSES: ReadonlyMap<string, typeof CheckpointError> = new Map(
  [CheckpointError, UsageError, SourceError, FormatError, TensorError, StateDictError, DistributionError].map((each) => [each.name, each]),
);
