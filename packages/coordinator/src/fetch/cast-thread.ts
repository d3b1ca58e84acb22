/** A thread that casts its share of a node's weights. */
import { parentPort, workerData } from "node:worker_threads";
import { castRuns, nativeMemory, toErrorRecord } from "@rankcast/core/runtime";
import type { CastThreadMessage, CastThreadStart } from "./cast-weights.ts";

const { runs, places } = workerData as CastThreadStart;
let message: CastThreadMessage = { error: null };
try {
  const native = nativeMemory(false);
  if (!native) throw new RangeError("a thread cannot map what its process can");
  await castRuns(runs, places, native, async () => undefined);
} catch (error) {
  message = { error: toErrorRecord(error) };
}
parentPort?.postMessage(message);
