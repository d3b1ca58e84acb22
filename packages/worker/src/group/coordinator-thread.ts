/** Starts the coordinator package in a thread. It is found by name at run time: this package must not depend on it. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { DistributionError } from "@rankcast/core";
import { type ErrorRecord, fromErrorRecord } from "@rankcast/core/runtime";

/** A coordinator in a thread of this process. */
export interface CoordinatorThread {
  /** Ends it in order; resolves when the thread is gone. */
  close(): Promise<void>;
}

/** What the thread is told. Plain data. */
export interface CoordinatorThreadOptions {
  readonly address: string;
  readonly token: string;
  readonly jobId: string;
  readonly epoch: number;
  readonly localWorldSize: number;
  /** How long a rank may be stopped. */
  readonly stoppedTimeoutMs: number;
  /** Null: the job has one node. */
  readonly nodes: NodesOptions | null;
}

/** What the coordinator of one of several nodes is told. Plain data. */
export interface NodesOptions {
  readonly worldSize: number;
  /** Null where the launcher does not tell. */
  readonly nodeCount: number | null;
  readonly nodeRank: number | null;
  readonly isHead: boolean;
  /** Null: all nodes are on this machine. */
  readonly endpoint: { readonly host: string; readonly port: number } | null;
  /** Where the job's secrets are. */
  readonly variables: { readonly [name: string]: string | undefined };
  readonly joinTimeoutMs: number;
  readonly nodeTimeoutMs: number;
}

/** What the thread says. */
export type CoordinatorThreadMessage =
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly error: ErrorRecord }
  | { readonly type: "closed" };

/**
 * Starts the thread; resolves when it listens.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when @rankcast/coordinator is not installed or cannot listen.
 */
export async function startCoordinatorThread(options: CoordinatorThreadOptions): Promise<CoordinatorThread> {
  const worker = new Worker(threadEntry(), { workerData: options, name: "rankcast-coordinator" });
  // The thread must not keep a finished rank alive.
  worker.unref();
  await new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () =>
      reject(new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", "the coordinator's thread ended as it started")),
    );
    worker.once("message", (message: CoordinatorThreadMessage) => {
      if (message.type === "failed") reject(fromErrorRecord(message.error));
      else resolve();
    });
  });
  const ended = new Promise<void>((resolve) => {
    worker.once("exit", () => resolve());
  });
  return {
    async close() {
      worker.ref();
      worker.postMessage({ type: "close" });
      await ended;
    },
  };
}

function threadEntry(): URL {
  const candidates = [
    import.meta.url,
    pathToFileURL(`${process.cwd()}/`).href,
    ...(process.argv[1] ? [pathToFileURL(process.argv[1]).href] : []),
  ];
  for (const from of candidates) {
    try {
      return pathToFileURL(createRequire(from).resolve("@rankcast/coordinator/thread"));
    } catch {
      // Not installed beside this one: look from the next place.
    }
  }
  throw new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", "@rankcast/coordinator is not installed", {
    remedy: "Install @rankcast/coordinator beside @rankcast/worker, or start the ranks with `rankcast run`.",
  });
}
