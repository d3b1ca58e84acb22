/**
 * Where a rank's coordinator is. Under `rankcast run` the launcher says so; under any other launcher local rank 0 starts one in a thread of
 * its own (never on the user's event loop, which training code blocks) and the others meet it at a path that follows from the job.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { meetingName, meetingPath, ownDirectory } from "@rankcast/core/runtime";
import { type CoordinatorThread, type NodesOptions, startCoordinatorThread } from "./coordinator-thread.ts";
import { awaitMeetingToken, leaveMeetingToken } from "./meeting-token.ts";

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
  /** How long a rank may be stopped. */
  readonly stoppedTimeoutMs: number;
  /** Null: the job has one node. */
  readonly nodes: NodesOptions | null;
}

/**
 * Starts the node's coordinator (local rank 0) or waits for it (the others).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it does not appear in time; {UsageError} RANKCAST_USAGE when the place where
 * they meet is not this user's.
 */
export async function meetCoordinator(point: MeetingPoint): Promise<CoordinatorAddress> {
  const { runtimeDirectory, jobId, epoch, nodeKey, localRank, localWorldSize, timeoutMs } = point;
  if (localWorldSize === 1) return startOwn(point, meetingPath(runtimeDirectory, randomBytes(8).toString("hex")));
  const path = meetingPath(runtimeDirectory, meetingName([jobId, epoch, nodeKey]));
  if (localRank === 0) return startOwn(point, path);
  return { address: addressIn(path), token: await awaitMeetingToken(path, timeoutMs), thread: null };
}

async function startOwn(point: MeetingPoint, path: string): Promise<CoordinatorAddress> {
  const owned = ownDirectory(path);
  const { jobId, epoch, localWorldSize, stoppedTimeoutMs, nodes } = point;
  const token = randomBytes(32).toString("hex");
  const address = addressIn(path);
  try {
    const thread = await startCoordinatorThread({ address, token, jobId, epoch, localWorldSize, stoppedTimeoutMs, nodes });
    leaveMeetingToken(path, token);
    return {
      address,
      token,
      thread: {
        async close() {
          await thread.close();
          owned.leave();
        },
      },
    };
  } catch (error) {
    owned.leave();
    throw error;
  }
}

function addressIn(path: string): string {
  return `unix:${join(path, "coordinator.sock")}`;
}
