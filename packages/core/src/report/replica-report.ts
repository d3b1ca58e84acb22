/** What loading one state dict into one replica did, as plain data that survives JSON, threads and wires. */
import type { CastLoss } from "../tensor/cast-loss.ts";
import type { DType } from "../tensor/dtype.ts";

/**
 * Why a key that exists on both sides was not loaded: shapes differ, types differ in a way the policy refuses, the checkpoint has no bytes
 * (meta), several elements of the model's tensor are one place in memory, or a trained parameter would get a type without gradient.
 */
export type MismatchReason = "shape" | "dtype" | "bytes" | "overlap" | "gradient";

/** One key that exists on both sides and does not fit. */
export interface Mismatch {
  readonly key: string;
  /** Shape in the checkpoint. */
  readonly checkpoint: readonly number[];
  /** Shape in the model. */
  readonly model: readonly number[];
  /** Absent means `shape`. */
  readonly reason?: MismatchReason;
  /** Set when the reason is `dtype`. */
  readonly checkpointDtype?: DType;
  /** Set when the reason is `dtype`. */
  readonly modelDtype?: DType;
}

/** One tensor whose element type changed on the way into the model. */
export interface Cast {
  readonly key: string;
  readonly from: DType;
  readonly to: DType;
  /**
   * False when every value survives. Else the worst that the two types allow, or, when the load measured its casts, the worst that happened
   * to a value.
   */
  readonly lossy: false | Exclude<CastLoss, "lossless">;
}

/** Another obstacle, in torch's terms an entry of `error_msgs`. */
export interface LoadProblem {
  /** Key or module path it is about; empty for the root module. */
  readonly key: string;
  /** Whole sentence; torch's own where torch has one. */
  readonly message: string;
  /** Fails the load under every policy. */
  readonly fatal: boolean;
  /** How many entries of `mismatched` torch would list before this one: keeps the order of torch's message. */
  readonly mismatchesBefore: number;
}

/** A key that would have been missing, unexpected or mismatched, had a rule not allowed it. */
export interface IgnoredKey {
  readonly key: string;
  readonly kind: "missing" | "unexpected" | "mismatched";
  /** The rule as the caller wrote it, or the name of a built-in rule. */
  readonly rule: string;
}

/** A key whose value came from the model or from a migration because the checkpoint is older than the module. */
export interface DefaultedKey {
  readonly key: string;
  readonly rule: string;
}

/** A name of a shared parameter that the checkpoint lacks; another name of the same parameter was loaded. */
export interface TiedKey {
  readonly key: string;
  /** The name that is in the checkpoint. */
  readonly sameAs: string;
}

/** The one edit of a key prefix that would make the most keys match. */
export interface PrefixEdit {
  /** Pattern and replacement in Python's `re.sub` notation: a pair for `revKeys`. */
  readonly pattern: string;
  readonly replacement: string;
  /** Keys that would match after the edit and do not now, less those that would stop matching. */
  readonly gain: number;
}

/** A missing key and the unexpected key whose name is closest. */
export interface NearMiss {
  readonly missing: string;
  readonly unexpected: string;
}

/** What the reader could try next. */
export interface LoadHints {
  readonly prefixEdit?: PrefixEdit;
  readonly nearMisses?: readonly NearMiss[];
}

/** The result for one replica. Lists are in the model's order, `unexpected` per module in the checkpoint's. */
export interface ReplicaReport {
  /** Number of the replica inside its rank. */
  readonly index: number;
  /** The root module's type name, for messages. */
  readonly model: string;
  /** Keys the model has. */
  readonly expected: number;
  /** Keys of the checkpoint that were loaded. */
  readonly matched: number;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly Mismatch[];
  readonly errors: readonly LoadProblem[];
  readonly casts: readonly Cast[];
  /** Keys that key rules renamed before loading. */
  readonly renamed: number;
  /** Length of `ignoredKeys`. */
  readonly ignored: number;
  readonly ignoredKeys: readonly IgnoredKey[];
  readonly defaulted: readonly DefaultedKey[];
  readonly tied: readonly TiedKey[];
  /** Tensors that became views of the checkpoint's memory. */
  readonly adopted: number;
  /** Tensors whose bytes were copied or cast. */
  readonly copied: number;
  /** Those of them that were copied while the files were still arriving; absent when none was. */
  readonly copiedAhead?: number;
  readonly hints?: LoadHints;
  /** SHA-256 over the replica's whole state, when asked for. */
  readonly digest?: string;
}

/** A replica's report before anything was loaded. */
export const EMPTY_REPLICA_REPORT: ReplicaReport = Object.freeze({
  index: 0,
  model: "",
  expected: 0,
  matched: 0,
  missing: [],
  unexpected: [],
  mismatched: [],
  errors: [],
  casts: [],
  renamed: 0,
  ignored: 0,
  ignoredKeys: [],
  defaulted: [],
  tied: [],
  adopted: 0,
  copied: 0,
});

/** Whether every key of both sides was loaded, none of them by way of a rule: the only case in which torch's success sentence is true. */
export function isClean(replica: ReplicaReport): boolean {
  return (
    replica.missing.length === 0 &&
    replica.unexpected.length === 0 &&
    replica.mismatched.length === 0 &&
    replica.errors.length === 0 &&
    replica.ignored === 0
  );
}
