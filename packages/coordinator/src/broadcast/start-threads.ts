/** Starts the two threads of the data plane and joins them with a port. */
import { MessageChannel, Worker } from "node:worker_threads";
import { DistributionError } from "@rankcast/core";
import { fromErrorRecord } from "@rankcast/core/runtime";
import type { FillCommand, ThreadMessage, ThreadStart } from "./thread-message.ts";

/** Both threads, ready. */
export interface BroadcastThreads {
  readonly address: string;
  readonly port: number;
  command(command: FillCommand): void;
  /** Hears both threads; a thread that dies is `onDeath`. */
  listen(onMessage: (message: ThreadMessage) => void, onDeath: (error: Error) => void): void;
  /** Resolves when both are gone. */
  close(): Promise<void>;
}

const CLOSE_MS = 2000;

/** @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE, {UsageError} RANKCAST_UNPROTECTED: what listening refuses. */
export async function startThreads(start: Omit<ThreadStart, "role" | "port">): Promise<BroadcastThreads> {
  const { port1, port2 } = new MessageChannel();
  const fill = spawn({ ...start, role: "fill", port: port1 });
  const serve = spawn({ ...start, role: "serve", port: port2 });
  const workers = [fill, serve];
  // From the start: a thread that died before does not say so again.
  const gone = Promise.all(workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve))));
  try {
    const [, { address, port }] = await Promise.all([ready(fill), ready(serve)]);
    return {
      address,
      port,
      command: (command) => fill.postMessage(command),
      listen(onMessage, onDeath) {
        for (const worker of workers) {
          worker.on("message", onMessage);
          worker.on("error", onDeath);
        }
      },
      async close() {
        fill.postMessage({ type: "close" } satisfies FillCommand);
        const timer = setTimeout(() => void terminate(workers), CLOSE_MS);
        await gone;
        clearTimeout(timer);
      },
    };
  } catch (error) {
    await terminate(workers);
    throw error;
  }
}

function spawn(start: ThreadStart): Worker {
  return new Worker(new URL("./broadcast-thread.js", import.meta.url), {
    workerData: start,
    transferList: [start.port],
    name: `rankcast-${start.role}`,
  });
}

function ready(worker: Worker): Promise<{ readonly address: string; readonly port: number }> {
  return new Promise((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () =>
      reject(new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", "a thread of the data plane ended as it started")),
    );
    worker.once("message", (message: ThreadMessage) => {
      if (message.type === "ready") resolve(message);
      else if (message.type === "unready") reject(fromErrorRecord(message.error));
    });
  });
}

async function terminate(workers: readonly Worker[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker.terminate()));
}
