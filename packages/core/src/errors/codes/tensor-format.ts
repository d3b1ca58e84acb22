/** Codes of the formats that hold tensors without a pickle, of layouts of several files, and of writing. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of the formats that hold tensors without a pickle, of layouts of several files, and of writing. */
export const TENSOR_FORMAT_CODES = {
  RANKCAST_SAFETENSORS_HEADER: {
    class: "header",
    meaning: "A safetensors header breaks a rule of the format; `details.variant` is the reference implementation's name for the rule.",
    remedy: "Download the file again and compare its SHA-256 with the publisher's; if it is unchanged, its writer is faulty.",
  },
  RANKCAST_SAFETENSORS_TRUNCATED: {
    class: "truncated",
    meaning: "A safetensors file ends before the last byte its header promises.",
    remedy: "Download or copy the file again: it was cut short.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
