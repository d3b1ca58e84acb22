/**
 * Where a rank's coordinator is. Under `rankcast run` the launcher says so; under any other launcher local rank 0 starts one in a thread of
 * its own (never on the user's event loop, which training code blocks) and the others meet it at a path that follows from the job.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { DistributionError } from "@rankcast/core";
import { livingOwner, meetingName, meetingPath, ownDirectory, quote } from "@rankcast/core/runtime";
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

/** A process that leaves takes its directory with it: so long one of an earlier run may take to. */
const LEAVING_MS = 2000;
const LEAVING_POLL_MS = 50;

/**
 * Starts the node's coordinator (local rank 0) or waits for it (the others).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when it does not appear in time; {UsageError} RANKCAST_USAGE when the place where
 * they meet is not this user's; {DistributionError} RANKCAST_DUPLICATE_NODE when another process coordinates the same node of the same job there.
 */
export async function meetCoordinator(point: MeetingPoint): Promise<CoordinatorAddress> {
  const { runtimeDirectory, jobId, epoch, nodeKey, localRank, localWorldSize, timeoutMs } = point;
  if (localWorldSize === 1) return startOwn(point, meetingPath(runtimeDirectory, randomBytes(8).toString("hex")));
  const path = meetingPath(runtimeDirectory, meetingName([jobId, epoch, nodeKey]));
  if (localRank === 0) {
    await othersGone(path, jobId);
    return startOwn(point, path);
  }
  return { address: addressIn(path), token: await awaitMeetingToken(path, timeoutMs), thread: null };
}

/** A living job keeps its place: ranks of it may be on their way there. What a dead one has left is taken over. */
async function othersGone(path: string, jobId: string): Promise<void> {
  const deadlineMs = performance.now() + LEAVING_MS;
  for (;;) {
    const pid = livingOwner(path);
    if (pid === null) return;
    if (performance.now() > deadlineMs) {
      throw new DistributionError(
        "RANKCAST_DUPLICATE_NODE",
        `process ${pid} of this machine coordinates this node of job ${quote(jobId)}`,
        {
          details: { jobId, pid },
          remedy: "Give each job an id of its own (torchrun --rdzv-id, RANKCAST_JOB_ID); end what is left over from an earlier run.",
        },
      );
    }
    await setTimeout(LEAVING_POLL_MS);
  }
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
