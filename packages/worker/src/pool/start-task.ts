/** The handshake of a thread: it has imported the replica's module, built the model and loaded a rehearsal, or it does not count as started. */
import { CheckpointError, DistributionError } from "@rankcast/core";
import type { ReplicaThread } from "./replica-thread.ts";
import type { ThreadTask } from "./thread-tasks.ts";

/**
 * Resolves when the thread is ready.
 * @throws {DistributionError} RANKCAST_REPLICA_MODULE, RANKCAST_REPLICA_CRASHED or RANKCAST_REPLICA_START_TIMEOUT.
 */
export async function startTask(
  thread: ReplicaThread,
  task: Extract<ThreadTask, { readonly type: "start" }>,
  startTimeoutMs: number,
): Promise<void> {
  const { replica } = thread;
  try {
    await thread.run({ ...task, context: { ...task.context, replica } }, startTimeoutMs);
  } catch (error) {
    const late = error instanceof CheckpointError && LATE.has(error.code);
    if (!late) throw error;
    const text = `replica ${replica} did not start within ${startTimeoutMs} ms`;
    throw new DistributionError("RANKCAST_REPLICA_START_TIMEOUT", text, { details: { replica, startTimeoutMs }, cause: error });
  }
}

const LATE: ReadonlySet<string> = new Set(["RANKCAST_REPLICA_DEADLINE", "RANKCAST_REPLICA_UNKILLABLE"]);
