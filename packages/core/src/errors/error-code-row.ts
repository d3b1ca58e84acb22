/**
 * The shape of one row of the error table. Each area of the code keeps its rows in a file of its own (`codes/<area>.ts`);
 * `error-codes.ts` joins them, and `docs/errors.md` is generated from the result.
 */

/** What kind of refusal an error is. The set is public: programs switch on it, so it only ever grows. */
export type ErrorClass =
  | "unknown-format"
  | "truncated"
  | "zip"
  | "pickle"
  | "tensor"
  | "limit"
  | "integrity"
  | "unsupported"
  | "header"
  | "index"
  | "unsafe-path"
  | "not-found"
  | "network"
  | "http"
  | "auth"
  | "cache"
  | "disk-full"
  | "state-dict"
  | "usage"
  | "peer"
  | "timeout"
  | "coordinator-lost"
  | "worker"
  | "protocol"
  | "cancelled"
  | "internal";

/** One row: what a code means and what the reader of the message can do about it. */
export interface ErrorCodeRow {
  readonly class: ErrorClass;
  /** One sentence: what happened. */
  readonly meaning: string;
  /** One sentence, imperative: what to do. Used unless the place that throws knows something better. */
  readonly remedy: string;
  /** The same with the numbers of one failure; undefined when its details say nothing better than `remedy`. */
  readonly remedyFor?: (details: Readonly<Record<string, unknown>>) => string | undefined;
}
