/** Names that only the sister packages and the tests may use (imported as `@rankcast/core/internal`). No promise of stability. */
export { asCheckpointError, describeError, type ErrorRecord, fromErrorRecord, toErrorRecord } from "./errors/error-record.ts";
export { printable, quote } from "./errors/quote.ts";
