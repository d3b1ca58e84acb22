/**
 * Threads that boot before their replicas are known: half of a replica's start is Node's own and code to import, and a rank can wait for its
 * coordinator meanwhile.
 */
import type { ResourceLimits } from "node:worker_threads";
import { readRankEnvironment } from "../environment/environment.ts";
import { ReplicaThread } from "./replica-thread.ts";

const stock = new Map<number, ReplicaThread>();

/** Boots threads for replicas 0 … `count` - 1 of the next pool without resource limits. Whoever does that also calls `closeSpareThreads`. */
export function bootThreads(count: number): void {
  const { noMmap } = readRankEnvironment();
  for (let replica = 0; replica < count; replica += 1) {
    if (stock.has(replica)) continue;
    const thread = new ReplicaThread(replica, undefined);
    stock.set(replica, thread);
    // Whoever starts a replica in it hears of a failure.
    thread.run({ type: "boot", noMmap }, undefined).catch(() => undefined);
  }
}

/** A booted thread when there is one that fits, else a new one. */
export function takeThread(replica: number, resourceLimits: ResourceLimits | undefined): ReplicaThread {
  const booted = resourceLimits === undefined ? stock.get(replica) : undefined;
  if (!booted) return new ReplicaThread(replica, resourceLimits);
  stock.delete(replica);
  return booted.hasEnded ? new ReplicaThread(replica, resourceLimits) : booted;
}

/** Ends threads that no replica has taken. */
export async function closeSpareThreads(): Promise<void> {
  const spare = [...stock.values()];
  stock.clear();
  await Promise.all(spare.map((thread) => thread.close()));
}
