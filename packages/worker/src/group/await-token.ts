/** The token of a launcher whose coordinator may still be starting: it spawns ranks first, and fills the token's file when it listens. */
import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import { DistributionError } from "@rankcast/core";
import { readToken } from "@rankcast/core/runtime";

/**
 * The token of a 0600 file; waits while the file is empty.
 * @throws {UsageError} RANKCAST_USAGE when there is no such file or others may read it.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it stays empty for `timeoutMs`.
 */
export async function awaitToken(path: string, timeoutMs: number): Promise<string> {
  const present = readToken(path);
  if (present !== "") return present;
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      const look = (): void => {
        try {
          const token = readToken(path);
          if (token !== "") resolve(token);
        } catch (error) {
          reject(error);
        }
      };
      watcher = watch(dirname(path), look);
      timer = setTimeout(() => reject(lateCoordinator(timeoutMs)), timeoutMs);
      // It may have been filled before anybody watched.
      look();
    });
  } finally {
    watcher?.close();
    clearTimeout(timer);
  }
}

function lateCoordinator(timeoutMs: number): DistributionError {
  return new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `the launcher's coordinator did not start within ${timeoutMs} ms`, {
    details: { timeoutMs },
    remedy: "Look at what the launcher says; unset RANKCAST_COORDINATOR and RANKCAST_TOKEN_FILE if they are left over from another job.",
  });
}
