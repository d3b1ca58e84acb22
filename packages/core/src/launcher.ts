/**
 * Names that only the sister packages may use (imported as `@rankcast/core/launcher`): what a launcher needs before its ranks are spawned, and
 * nothing that reads, plans or binds weights. No promise of stability.
 */
export { CheckpointError, DistributionError, SourceError, UsageError } from "./errors/checkpoint-error.ts";
export { ERROR_CODES } from "./errors/error-codes.ts";
export { asCheckpointError, describeError, type ErrorRecord, fromErrorRecord } from "./errors/error-record.ts";
export { printable, quote } from "./errors/quote.ts";
export {
  DURATION_MS,
  FUNCTION,
  type OptionShapes,
  PORT,
  requireOptions,
  SIGNAL,
  TEXT,
  TEXTS,
  TEXTS_BY_NAME,
} from "./errors/require-options.ts";
export { compileLimits } from "./limits/limits.ts";
export { markOwner } from "./meeting/own-directory.ts";
export { LoadReport } from "./report/load-report.ts";
export { makeDirectories } from "./source/make-directories.ts";
export { detectRank } from "./topology/detect-rank.ts";
export { type HostFacts, readHostFacts } from "./topology/host-facts.ts";
