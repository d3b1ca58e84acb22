/** Starts the replicas of a pool side by side. */
import { availableParallelism } from "node:os";
import type { PooledReplica } from "./pooled-replica.ts";

/**
 * Threads per core that start at one time. Starting is work (a thread compiles its code for itself): 64 at once on two cores only take turns, need
 * half as long again, and each one's time runs against `startTimeoutMs` while it waits for the others.
 */
const STARTS_PER_CORE = 4;

/**
 * Resolves when all have started.
 * @throws {DistributionError} that of the first replica that failed; all are closed then, those that still build or hang, too.
 */
export async function startReplicas(replicas: readonly PooledReplica[]): Promise<void> {
  const waiting = [...replicas];
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await next.start();
  };
  const lanes = Array.from({ length: STARTS_PER_CORE * availableParallelism() }, lane);
  try {
    await Promise.all(lanes);
  } catch (error) {
    waiting.length = 0;
    await Promise.all(replicas.map((replica) => replica.close()));
    await Promise.allSettled(lanes);
    throw error;
  }
}
