/** Codes of ranks, replicas, coordinator and barrier. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of ranks, replicas, coordinator and barrier. */
export const DISTRIBUTION_CODES = {} as const satisfies Record<string, ErrorCodeRow>;
