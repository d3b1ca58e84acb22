/**
 * Where a rank's coordinator is. Under `rankcast run` the launcher says so; under any other launcher local rank 0 starts one in a thread of
 * its own (never on the user's event loop, which training code blocks) and the others meet it at a path that follows from the job.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, watch, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DistributionError, UsageError } from "@rankcast/core";
import { type CoordinatorThread, startCoordinatorThread } from "./coordinator-thread.ts";

/** How to reach a coordinator. */
export interface CoordinatorAddress {
  readonly address: string;
  readonly token: string;
  /** Set when this process started it; close it last. */
  readonly thread: CoordinatorThread | null;
}

/** What decides the meeting path. */
export interface MeetingPoint {
  readonly jobId: string;
  readonly epoch: number;
  readonly localRank: number;
  readonly localWorldSize: number;
  /** Equal for ranks of one node, different between nodes even when they share a host. */
  readonly nodeKey: string;
  readonly runtimeDirectory: string | undefined;
  readonly timeoutMs: number;
}

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

/**
 * Starts the node's coordinator (local rank 0) or waits for it (the others).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it does not appear in time.
 */
export async function meetCoordinator(point: MeetingPoint): Promise<CoordinatorAddress> {
  if (point.localWorldSize === 1) return startOwn(point, privateDirectory(point, randomBytes(8).toString("hex")));
  const key = createHash("sha256")
    .update(JSON.stringify([point.jobId, point.epoch, point.nodeKey]))
    .digest("hex")
    .slice(0, 16);
  const directory = privateDirectory(point, key);
  return point.localRank === 0 ? startOwn(point, directory) : waitForToken(directory, point.timeoutMs);
}

async function startOwn(point: MeetingPoint, directory: string): Promise<CoordinatorAddress> {
  const socket = join(directory, "coordinator.sock");
  const tokenFile = join(directory, "token");
  // What an earlier, killed job of the same name left is not ours to trust.
  rmSync(tokenFile, { force: true });
  rmSync(socket, { force: true });
  const token = randomBytes(32).toString("hex");
  const address = `unix:${socket}`;
  const thread = await startCoordinatorThread({
    address,
    token,
    jobId: point.jobId,
    epoch: point.epoch,
    localWorldSize: point.localWorldSize,
    directory,
  });
  // The token appears only once the socket accepts, in one step: whoever sees it can connect.
  writeFileSync(`${tokenFile}.new`, token, { mode: 0o600 });
  renameSync(`${tokenFile}.new`, tokenFile);
  return { address, token, thread };
}

/** A directory that only this user can enter. @throws {UsageError} when somebody else owns it. */
function privateDirectory({ runtimeDirectory }: MeetingPoint, name: string): string {
  const base = join(runtimeDirectory ?? tmpdir(), `rankcast-${process.getuid?.() ?? "user"}`);
  for (const path of [base, join(base, name)]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = statSync(path);
    if (process.getuid && (stat.uid !== process.getuid() || (stat.mode & 0o077) !== 0)) {
      throw new UsageError("RANKCAST_USAGE", `${path} belongs to somebody else or may be entered by others`, {
        remedy: "Set XDG_RUNTIME_DIR to a private directory.",
      });
    }
  }
  return join(base, name);
}

function waitForToken(directory: string, timeoutMs: number): Promise<CoordinatorAddress> {
  const found = (): CoordinatorAddress | null => {
    try {
      return {
        address: `unix:${join(directory, "coordinator.sock")}`,
        token: readFileSync(join(directory, "token"), "utf8"),
        thread: null,
      };
    } catch {
      return null;
    }
  };
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      watcher.close();
      settle();
    };
    const timer = setTimeout(() => {
      const error = new DistributionError(
        "RANKCAST_COORDINATOR_UNREACHABLE",
        `local rank 0 did not start the node's coordinator within ${timeoutMs} ms`,
        {
          details: { timeoutMs },
          remedy: "Check that local rank 0 of this node also calls joinGroup, and that all ranks have the same job id.",
        },
      );
      finish(() => reject(error));
    }, timeoutMs);
    const look = (): void => {
      const address = found();
      if (address) finish(() => resolve(address));
    };
    const watcher = watch(directory, look);
    look();
  });
}
