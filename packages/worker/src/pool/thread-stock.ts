/**
 * Threads that boot before their replicas are known: half of a replica's start is Node's own and code to import, and a rank can wait for its
 * coordinator meanwhile.
 */
import type { ResourceLimits } from "node:worker_threads";
import { readRankEnvironment } from "../environment/environment.ts";
import type { ReplicaThread } from "./replica-thread.ts";

const stock = new Map<number, Promise<ReplicaThread>>();

/** Boots threads for replicas 0 … `count` - 1 of the next pool without resource limits. Whoever does that also calls `closeSpareThreads`. */
export function bootThreads(count: number): void {
  const { noMmap } = readRankEnvironment();
  for (let replica = 0; replica < count; replica += 1) {
    if (stock.has(replica)) continue;
    const thread = startThread(replica, undefined);
    stock.set(replica, thread);
    // Whoever starts a replica in it hears of a failure.
    thread.then((started) => started.run({ type: "boot", noMmap }, undefined)).catch(() => undefined);
  }
}

/**
 * A booted thread when there is one that fits, else a new one.
 * @throws {DistributionError} RANKCAST_REPLICA_CRASHED when there is none to be had.
 */
export async function takeThread(replica: number, resourceLimits: ResourceLimits | undefined): Promise<ReplicaThread> {
  const booting = resourceLimits === undefined ? stock.get(replica) : undefined;
  if (!booting) return startThread(replica, resourceLimits);
  stock.delete(replica);
  const booted = await booting;
  return booted.hasEnded ? startThread(replica, resourceLimits) : booted;
}

/** Ends threads that no replica has taken. */
export async function closeSpareThreads(): Promise<void> {
  const spare = await Promise.allSettled(stock.values());
  stock.clear();
  await Promise.all(spare.map((thread) => (thread.status === "fulfilled" ? thread.value.close() : true)));
}

/** Most ranks have no pool: what runs its threads is imported with the first one. */
async function startThread(replica: number, resourceLimits: ResourceLimits | undefined): Promise<ReplicaThread> {
  const { ReplicaThread } = await import("./replica-thread.ts");
  return new ReplicaThread(replica, resourceLimits);
}
