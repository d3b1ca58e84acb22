/**
 * Whether a result is acceptable under a policy. Pure: the same report and policy give the same error wherever they are judged, so the
 * verdict may be computed once and delivered to every rank (law L5).
 */
import { StateDictError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { countsOf, renderReplica, revKeyFlag } from "./render-replica.ts";
import type { ReplicaReport } from "./replica-report.ts";

/** What a load demands of its result. */
export interface VerdictPolicy {
  /** Every key of both sides must fit. */
  readonly strict: boolean;
  /** What a key that exists on both sides and does not fit means. */
  readonly onMismatch: "error" | "skip";
  /** Least share of the model's keys (0 to 1) that must be loaded, keys that a rule allowed not counted. */
  readonly minMatched: number;
}

/** Keys of each kind named in an error's details; the counts are whole. */
const NAMED_KEYS_MAX = 20;

/** The error that the result deserves, or null. Its message holds the whole table, its details counts and the first keys of each kind. */
export function verdictOf(replica: ReplicaReport, policy: VerdictPolicy): StateDictError | null {
  const bad = policy.onMismatch === "error" && replica.mismatched.length + replica.errors.length > 0;
  if (policy.strict && (bad || replica.missing.length + replica.unexpected.length > 0)) {
    return failure("RANKCAST_STATE_DICT_STRICT", "the checkpoint and the model do not match exactly", replica, policy);
  }
  if (bad || replica.errors.some(({ fatal }) => fatal)) {
    return failure("RANKCAST_STATE_DICT_MISMATCH", "keys of the checkpoint do not fit the model", replica, policy);
  }
  if (replica.matched === 0 && replica.expected + replica.unexpected.length > 0) {
    return failure("RANKCAST_STATE_DICT_NOTHING_MATCHED", "not one key of the checkpoint fits the model", replica, policy);
  }
  const wanted = wantedKeys(replica);
  if (replica.matched < policy.minMatched * wanted) {
    const found = `${replica.matched} of ${wanted} keys were matched, minMatched ${policy.minMatched} asks for ${Math.ceil(policy.minMatched * wanted)}`;
    return failure("RANKCAST_STATE_DICT_MIN_MATCHED", found, replica, policy);
  }
  return null;
}

/** Keys of the model that no rule excused. */
function wantedKeys(replica: ReplicaReport): number {
  const excused = replica.ignoredKeys.filter(({ kind }) => kind !== "unexpected").length;
  return replica.expected - excused - replica.defaulted.length - replica.tied.length;
}

function failure(code: ErrorCode, headline: string, replica: ReplicaReport, policy: VerdictPolicy): StateDictError {
  const { prefixEdit } = replica.hints ?? {};
  return new StateDictError(code, `${headline}\n${renderReplica(replica)}`, {
    ...(prefixEdit ? { remedy: `Try ${revKeyFlag(prefixEdit)}: ${prefixEdit.gain} more keys would match.` } : {}),
    details: {
      counts: countsOf(replica),
      strict: policy.strict,
      matched: replica.matched,
      expected: replica.expected,
      missing: replica.missing.length,
      unexpected: replica.unexpected.length,
      mismatched: replica.mismatched.length,
      errors: replica.errors.length,
      firstMissing: replica.missing.slice(0, NAMED_KEYS_MAX),
      firstUnexpected: replica.unexpected.slice(0, NAMED_KEYS_MAX),
      firstMismatched: replica.mismatched.slice(0, NAMED_KEYS_MAX).map(({ key, checkpoint, model }) => ({ key, checkpoint, model })),
      firstErrors: replica.errors.slice(0, NAMED_KEYS_MAX).map(({ message }) => message),
      ...(prefixEdit ? { revKey: [prefixEdit.pattern, prefixEdit.replacement] } : {}),
    },
  });
}
