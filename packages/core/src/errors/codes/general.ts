/** Codes that belong to no single area. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Rows for usage, limits, cancellation and our own defects. */
export const GENERAL_CODES = {
  RANKCAST_USAGE: { class: "usage", meaning: "An option or argument is wrong.", remedy: "Correct the named option; `--help` lists them." },
  RANKCAST_LIMIT: {
    class: "limit",
    meaning: "The input asks for more than a named limit allows.",
    remedy: "If the input is trusted, raise the named limit (`--limit NAME=VALUE`).",
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
