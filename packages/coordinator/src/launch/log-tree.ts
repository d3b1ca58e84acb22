/** torchrun's tree of log files: `<log dir>/<run id>_<random>/attempt_<n>/<local rank>/{stdout.log,stderr.log,error.json}`. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDirectories, SourceError } from "@rankcast/core/launcher";

/** Files of one rank in one attempt. */
export interface RankFiles {
  readonly stdout: string;
  readonly stderr: string;
  readonly error: string;
}

/** The tree of one launch. */
export interface LogTree {
  readonly directory: string;
  /** Whether the files stay when the launch is over; others are in the launch's own folder, and go with it. */
  readonly kept: boolean;
  /**
   * Makes a rank's folder.
   * @throws {SourceError} RANKCAST_LOG_DIR when it cannot be made.
   */
  filesOf(attempt: number, localRank: number): RankFiles;
}

/**
 * A folder that only this user can enter, for what must not outlive the launch: sockets, the token, error files.
 * @throws {SourceError} RANKCAST_LOG_DIR when it cannot be made.
 */
export function makeRunDirectory(): string {
  return make(tmpdir(), () => mkdtempSync(join(tmpdir(), "rankcast_")));
}

/**
 * Makes the tree's root: below `logDir`, in the system's temporary folder when output is to be kept, else in `runDirectory`.
 * @throws {SourceError} RANKCAST_LOG_DIR when it cannot be made.
 */
export function openLogTree(logDir: string | null, runId: string, keepsOutput: boolean, runDirectory: string): LogTree {
  const kept = logDir !== null || keepsOutput;
  const base = logDir ?? (kept ? tmpdir() : runDirectory);
  // Run ids may hold colons, which some file systems do not take.
  const prefix = `${logDir === null ? "rankcast_" : ""}${runId.replaceAll(/[^\w.-]/g, "_")}_`;
  const directory = make(base, () => {
    makeDirectories(base);
    return mkdtempSync(join(base, prefix));
  });
  return {
    directory,
    kept,
    filesOf: (attempt, localRank) => {
      const folder = join(directory, `attempt_${attempt}`, String(localRank));
      make(folder, () => makeDirectories(folder));
      return { stdout: join(folder, "stdout.log"), stderr: join(folder, "stderr.log"), error: join(folder, "error.json") };
    },
  };
}

function make<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SourceError("RANKCAST_LOG_DIR", `cannot make a folder for logs: ${reason}`, { cause, details: { logDir: path } });
  }
}
