/** Codes of sources, downloads and the cache. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of sources, downloads and the cache. */
export const SOURCE_CODES = {} as const satisfies Record<string, ErrorCodeRow>;
