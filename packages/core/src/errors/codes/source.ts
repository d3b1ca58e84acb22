/** Codes of sources, downloads and the cache. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of sources, downloads and the cache. */
export const SOURCE_CODES = {
  RANKCAST_NOT_FOUND: {
    class: "not-found",
    meaning: "There is no such file, object or URL.",
    remedy: "Check the path or URL; a relative path is resolved against the working directory.",
  },
  RANKCAST_FILE_UNREADABLE: {
    class: "not-found",
    meaning: "The operating system refused to open, list or read a file.",
    remedy: "Check permissions, open-file limits and the disk; the cause names the system error.",
  },
  RANKCAST_SIBLING_PATH: {
    class: "unsafe-path",
    meaning: "A file beside the entry file was named by an absolute path, or by one that leaves its directory.",
    remedy: "Do not load this checkpoint: a well-formed one names its parts relative to its own directory.",
  },
  RANKCAST_SOURCE_TRUNCATED: {
    class: "truncated",
    meaning: "A source ended before the bytes that were asked for.",
    remedy: "Fetch or copy the file again; it is shorter than its own structure says, or was cut while it was read.",
  },
  RANKCAST_SOURCE_CHANGED: {
    class: "integrity",
    meaning: "A file or object changed while it was read, so its bytes would mix two versions.",
    remedy: "Load again when nobody writes it; write checkpoints to a new name and rename them into place.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
