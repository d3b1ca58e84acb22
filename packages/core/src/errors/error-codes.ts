/** The whole error table. A code is stable: it may gain a better meaning or remedy, never another class. */
import { DISTRIBUTION_CODES } from "./codes/distribution.ts";
import { FORMAT_CODES } from "./codes/format.ts";
import { GENERAL_CODES } from "./codes/general.ts";
import { MANIFEST_CODES } from "./codes/manifest.ts";
import { MEMORY_CODES } from "./codes/memory.ts";
import { SOURCE_CODES } from "./codes/source.ts";
import { STATE_DICT_CODES } from "./codes/state-dict.ts";
import { TENSOR_FORMAT_CODES } from "./codes/tensor-format.ts";
import { WORKER_CODES } from "./codes/worker.ts";
import type { ErrorCodeRow } from "./error-code-row.ts";

const TABLE = {
  ...GENERAL_CODES,
  ...SOURCE_CODES,
  ...FORMAT_CODES,
  ...MANIFEST_CODES,
  ...TENSOR_FORMAT_CODES,
  ...MEMORY_CODES,
  ...STATE_DICT_CODES,
  ...DISTRIBUTION_CODES,
  ...WORKER_CODES,
};

/** A stable code, `RANKCAST_…`. */
export type ErrorCode = keyof typeof TABLE;

/** Every code with its class, meaning and remedy. */
export const ERROR_CODES: ReadonlyMap<ErrorCode, ErrorCodeRow> = new Map(Object.entries(TABLE) as [ErrorCode, ErrorCodeRow][]);
