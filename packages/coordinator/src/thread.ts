/** A coordinator in a thread of a rank's process: what runs when no launcher of ours started the ranks. */
import { parentPort, workerData } from "node:worker_threads";
import { toErrorRecord } from "@rankcast/core/runtime";
import { startCoordinator } from "./start-coordinator.ts";
import { type NodeOptions, startNode } from "./start-node.ts";

interface ThreadOptions {
  readonly address: string;
  readonly token: string;
  readonly jobId: string;
  readonly epoch: number;
  readonly localWorldSize: number;
  readonly stoppedTimeoutMs: number;
  /** Null: the job has one node. */
  readonly nodes: Omit<NodeOptions, "address" | "token" | "jobId" | "epoch" | "localWorldSize"> | null;
}

const options = workerData as ThreadOptions;

try {
  const { address, token, jobId, epoch, localWorldSize, stoppedTimeoutMs, nodes } = options;
  const coordinator =
    nodes === null
      ? await startCoordinator({ address, token, jobId, epoch, worldSize: localWorldSize, stoppedTimeoutMs })
      : await startNode({ ...nodes, address, token, jobId, epoch, localWorldSize });
  parentPort?.on("message", (message: { readonly type: "close" }) => {
    if (message.type !== "close") return;
    void coordinator.close().then(() => {
      // The port would keep the thread alive.
      parentPort?.close();
    });
  });
  parentPort?.postMessage({ type: "ready" });
} catch (error) {
  parentPort?.postMessage({ type: "failed", error: toErrorRecord(error) });
}
