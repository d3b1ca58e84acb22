/** The job's secret, from its file. */
import { readFileSync, statSync } from "node:fs";
import { UsageError } from "../errors/checkpoint-error.ts";

/**
 * The token of a 0600 file.
 * @throws {UsageError} RANKCAST_USAGE when others may read the file or it cannot be read: a token everybody knows protects nothing.
 */
export function readToken(path: string): string {
  try {
    const { mode } = statSync(path);
    if ((mode & 0o077) !== 0) {
      throw new UsageError("RANKCAST_USAGE", `the token file may be read by others (mode ${(mode & 0o777).toString(8)})`, {
        remedy: "chmod 600 the token file.",
      });
    }
    return readFileSync(path, "utf8").trim();
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new UsageError("RANKCAST_USAGE", "the token file of RANKCAST_TOKEN_FILE cannot be read", {
      cause,
      remedy: "Unset RANKCAST_COORDINATOR and RANKCAST_TOKEN_FILE if they are left over from another job.",
    });
  }
}
