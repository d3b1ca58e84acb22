/** Codes that belong to no single area. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/**
 * The flag and the value that let this input pass this limit. `raiseTo` where what was found is counted in another unit than the limit; what was
 * found may be a beginning only, so the value is the least that helps.
 */
function raiseLimit({
  limit,
  allowed,
  found,
  raiseTo = found ?? 2 * Number(allowed),
}: Readonly<Record<string, unknown>>): string | undefined {
  const value = Math.ceil(Number(raiseTo));
  if (typeof limit !== "string" || !Number.isSafeInteger(value)) return undefined;
  return `If the input is trusted, raise the limit: \`--limit ${limit}=${value}\` or more.`;
}

/** Rows for usage, limits, cancellation and our own defects. */
export const GENERAL_CODES = {
  RANKCAST_USAGE: { class: "usage", meaning: "An option or argument is wrong.", remedy: "Correct the named option; `--help` lists them." },
  RANKCAST_LIMIT: {
    class: "limit",
    meaning: "The input asks for more than a named limit allows.",
    remedy: "If the input is trusted, raise the named limit (`--limit NAME=VALUE`).",
    remedyFor: raiseLimit,
  },
  RANKCAST_UNSUPPORTED: {
    class: "unsupported",
    meaning: "The input is well formed but uses a feature that is not supported.",
    remedy: "Convert the checkpoint with the library that wrote it.",
  },
  RANKCAST_CANCELLED: { class: "cancelled", meaning: "The caller cancelled the work.", remedy: "Start it again when you want the result." },
  RANKCAST_INTERNAL: {
    class: "internal",
    meaning: "One of rankcast's own rules was broken, or foreign code threw something that is no CheckpointError.",
    remedy: "Look at the cause; if it is not your code, please report it with the output of `rankcast doctor`.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
