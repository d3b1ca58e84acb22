/** What a system says when something cannot be saved, in our words. */
import { CheckpointError, SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";

const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** System errors as ours (RANKCAST_SAVE_DISK_FULL, RANKCAST_SAVE_REFUSED) naming `path`; everything else as it is. */
export function saveError(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof CheckpointError || typeof code !== "string" || (error as NodeJS.ErrnoException).errno === undefined) return error;
  const full = FULL.has(code);
  return new SourceError(full ? "RANKCAST_SAVE_DISK_FULL" : "RANKCAST_SAVE_REFUSED", `${printable(path)}: can not be written: ${code}`, {
    details: { file: path, systemError: code },
    cause: error,
  });
}
