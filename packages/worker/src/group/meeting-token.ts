/**
 * How ranks of one node learn their coordinator's token: the rank that has started it leaves a file in their meeting directory. Whoever waits makes
 * nothing there, so that waiting for a coordinator that never comes leaves nothing behind.
 */
import { type FSWatcher, readFileSync, renameSync, watch, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DistributionError } from "@rankcast/core";
import { isAbandoned, isMeetingDirectory, makePrivateBase } from "@rankcast/core/runtime";

const NAME = "token";

/** Leaves the token, in one step; once the socket accepts, for whoever sees it connects. */
export function leaveMeetingToken(path: string, token: string): void {
  writeFileSync(join(path, `${NAME}.new`), token, { mode: 0o600 });
  renameSync(join(path, `${NAME}.new`), join(path, NAME));
}

/**
 * Waits for the token.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it does not appear in time; {UsageError} RANKCAST_USAGE when the directory is
 * not this user's.
 */
export function awaitMeetingToken(path: string, timeoutMs: number): Promise<string> {
  makePrivateBase(path);
  return new Promise((resolve, reject) => {
    let inside: FSWatcher | null = null;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      above.close();
      inside?.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(notStarted(timeoutMs))), timeoutMs);
    const look = (): void => {
      try {
        const token = readToken(path);
        if (token !== null) finish(() => resolve(token));
      } catch (error) {
        finish(() => reject(error));
      }
    };
    const above = watch(dirname(path), (_, name) => {
      if (name === basename(path)) enter();
    });
    /** The directory has come, gone, or been made anew: only the one that is there now can get a token. */
    const enter = (): void => {
      inside?.close();
      inside = watchIfThere(path, look);
      look();
    };
    enter();
  });
}

function watchIfThere(path: string, onChange: () => void): FSWatcher | null {
  try {
    // A directory that is taken away is an event above.
    return watch(path, onChange).on("error", () => undefined);
  } catch {
    return null;
  }
}

/** Null while there is none. */
function readToken(path: string): string | null {
  if (!isMeetingDirectory(path)) return null;
  try {
    return isAbandoned(path) ? null : readFileSync(join(path, NAME), "utf8");
  } catch {
    return null;
  }
}

function notStarted(timeoutMs: number): DistributionError {
  return new DistributionError(
    "RANKCAST_COORDINATOR_UNREACHABLE",
    `local rank 0 did not start the node's coordinator within ${timeoutMs} ms`,
    {
      details: { timeoutMs },
      remedy: "Check that local rank 0 of this node also calls joinGroup, and that all ranks have the same job id.",
    },
  );
}
