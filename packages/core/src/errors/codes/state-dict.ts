/** Codes of key rewriting, selection and loading into a module. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of key rewriting, selection and loading into a module. */
export const STATE_DICT_CODES = {} as const satisfies Record<string, ErrorCodeRow>;
