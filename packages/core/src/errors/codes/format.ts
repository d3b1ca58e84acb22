/** Codes of containers, pickles and formats. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of containers, pickles and formats. */
export const FORMAT_CODES = {} as const satisfies Record<string, ErrorCodeRow>;
