/** The only reader of `process.env` in the launcher and in what it preloads into ranks (law L7). */
import type { ProcessVariables } from "@rankcast/core/runtime";

/** All variables of this process, as they are now: defaults for flags, and what ranks inherit. */
export function launcherVariables(): ProcessVariables {
  return { ...process.env };
}

/** What the launcher tells the code it preloads into a rank. */
export interface GuardVariables {
  /** Descriptor that is open for as long as the launcher lives. */
  readonly descriptor: number;
  /** Where to write the error that ends the process; empty when there is no place. */
  readonly errorFile: string;
}

/**
 * Takes the guard's variables out of the environment; null when this process was not started by a launcher. They are taken, not
 * read: a process that a rank forks inherits variables and `--import`, but its descriptor 3 is something else (Node's IPC channel).
 */
export function takeGuardVariables(): GuardVariables | null {
  const text = process.env["RANKCAST_GUARD_FD"];
  delete process.env["RANKCAST_GUARD_FD"];
  if (text === undefined || !/^\d{1,4}$/.test(text)) return null;
  return { descriptor: Number(text), errorFile: process.env["TORCHELASTIC_ERROR_FILE"] ?? "" };
}
