/**
 * Where a rank's coordinator is. Under `rankcast run` the launcher says so; under any other launcher local rank 0 starts one in a thread of
 * its own (never on the user's event loop, which training code blocks) and the others meet it at a path that follows from the job.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DistributionError } from "@rankcast/core";
import { meetingDirectory, meetingName } from "@rankcast/core/runtime";
import { type CoordinatorThread, type NodesOptions, startCoordinatorThread } from "./coordinator-thread.ts";
import { ownDirectory } from "./own-directory.ts";

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
  /** Null: the job has one node. */
  readonly nodes: NodesOptions | null;
}

/**
 * Starts the node's coordinator (local rank 0) or waits for it (the others).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it does not appear in time.
 */
export async function meetCoordinator(point: MeetingPoint): Promise<CoordinatorAddress> {
  if (point.localWorldSize === 1) return startOwn(point, meetingDirectory(point.runtimeDirectory, randomBytes(8).toString("hex")));
  const directory = meetingDirectory(point.runtimeDirectory, meetingName([point.jobId, point.epoch, point.nodeKey]));
  return point.localRank === 0 ? startOwn(point, directory) : waitForToken(directory, point.timeoutMs);
}

async function startOwn(point: MeetingPoint, directory: string): Promise<CoordinatorAddress> {
  const socket = join(directory, "coordinator.sock");
  const tokenFile = join(directory, "token");
  const { letGo } = ownDirectory(directory);
  const token = randomBytes(32).toString("hex");
  const address = `unix:${socket}`;
  const thread = await startCoordinatorThread({
    address,
    token,
    jobId: point.jobId,
    epoch: point.epoch,
    localWorldSize: point.localWorldSize,
    directory,
    nodes: point.nodes,
  });
  // The token appears only once the socket accepts, in one step: whoever sees it can connect.
  writeFileSync(`${tokenFile}.new`, token, { mode: 0o600 });
  renameSync(`${tokenFile}.new`, tokenFile);
  return {
    address,
    token,
    thread: {
      async close() {
        await thread.close();
        letGo();
      },
    },
  };
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
